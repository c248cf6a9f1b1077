// Construction of a network: checks, placement of the tensors, packing of the weights. Execution is in conv_net_run.cc.
#include "edgeaff/conv_net.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

#include "nets/convolve.h"

namespace edgeaff {
namespace {

using nets::kGroup;
using nets::kUnitBytes;

constexpr size_t kMostSteps = 256, kMostTensors = 256;
constexpr int kMostChannels = 1024, kMostOutputs = 16, kMostDivisor = 64;
constexpr int kMostWeight = 64;       // 7 bits
constexpr double kMostSum = 1 << 30;  // of |sum| and of |sum * scale|: both stay in int32

int RoundUp(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

[[noreturn]] void Fail(int index, const std::string& what) {
  throw std::invalid_argument("step " + std::to_string(index) + ": " + what);
}

void Require(bool condition, int index, const char* what) {
  if (!condition) Fail(index, what);
}

}  // namespace

ConvNet::ConvNet(const std::vector<NetTensor>& tensors, const std::vector<NetStep>& steps, bool strips)
    : kernels_(&nets::BestKernels()) {
  if (tensors.empty() || tensors.size() > kMostTensors || steps.empty() || steps.size() > kMostSteps) {
    throw std::invalid_argument("a network must have 1 to 256 tensors and steps");
  }
  for (const NetTensor& tensor : tensors) {
    const bool served = tensor.channels == 1 || (tensor.channels % kGroup == 0 && tensor.channels <= kMostChannels);
    if (!served || tensor.channels < 1 || tensor.divisor < 1 || tensor.divisor > kMostDivisor || tensor.zero < 0 ||
        tensor.zero > 255) {
      throw std::invalid_argument(
          "tensors must have 1 or a multiple of 16 channels, at most 1024, and a zero point of a byte");
    }
    tensors_.push_back({tensor});
    multiple_ = std::max(multiple_, tensor.divisor);
  }
  for (const NetStep& step : steps) {
    steps_.emplace_back().step = step;
    Check(static_cast<int>(steps_.size()) - 1);
  }
  for (const Placed& placed : tensors_) {
    if (placed.writer < 0 || multiple_ % placed.tensor.divisor != 0)
      throw std::invalid_argument("a tensor is never written or has an odd size");
  }
  for (int output = 0; output < outputs_; ++output) {
    if (OutputShape(output, multiple_, multiple_).values == 0)
      throw std::invalid_argument("an output is never written");
  }
  if (strips) FindStrips();
  PlaceTensors();
  for (size_t i = 0; i < steps.size(); ++i) {
    CheckArrays(static_cast<int>(i));
    PackStep(&steps_[i]);
  }
}

// Checks the shape of a step and notes who writes and reads its tensors.
void ConvNet::Check(int index) {
  const NetStep& step = steps_[static_cast<size_t>(index)].step;
  const int count = static_cast<int>(tensors_.size());
  const auto written = [&](int at) { return at >= 0 && at < count && tensors_[static_cast<size_t>(at)].writer >= 0; };
  const auto read = [&](int at) -> const NetTensor& {
    Require(written(at), index, "it reads a tensor that no step before it writes");
    tensors_[static_cast<size_t>(at)].last_reader = index;
    return tensors_[static_cast<size_t>(at)].tensor;
  };
  const bool from_input = step.kind == NetStepKind::kImage || step.kind == NetStepKind::kLuminance;
  const bool to_floats = step.kind == NetStepKind::kMap || step.kind == NetStepKind::kMean;
  const NetTensor none;
  const NetTensor& in = from_input ? none : read(step.input);
  if (to_floats) {
    const auto same = [&](const Packed& one) {
      const bool floats = one.step.kind == NetStepKind::kMap || one.step.kind == NetStepKind::kMean;
      return floats && one.step.output == step.output;
    };
    const bool again = std::any_of(steps_.begin(), steps_.end() - 1, same);
    Require(step.output >= 0 && step.output < kMostOutputs && !again, index,
            "outputs must be below 16 and written once");
    Require(in.channels % kGroup == 0, index, "channels must be a multiple of 16");
    outputs_ = std::max(outputs_, step.output + 1);
    return;
  }
  Require(step.output >= 0 && step.output < count && !written(step.output), index,
          "its output must be a tensor written once");
  Placed& placed = tensors_[static_cast<size_t>(step.output)];
  const NetTensor& out = placed.tensor;
  placed.writer = placed.last_reader = index;
  Require(step.zero >= 0 && step.zero <= 255, index, "zero must be a byte");
  if (from_input) {
    Require(out.divisor == 2 && out.channels == (step.kind == NetStepKind::kImage ? kGroup : 1), index,
            "its output has another shape");
    return;
  }
  Require(step.kind == NetStepKind::kConvolution, index, "its kind is unknown");
  Require((step.kernel == 1 && step.stride == 1) || (step.kernel == 3 && (step.stride == 1 || step.stride == 2)), index,
          "kernels must be 3x3 with stride 1 or 2, or 1x1");
  Require(out.divisor == in.divisor * step.stride && out.channels % kGroup == 0, index, "its output has another shape");
  Require(in.channels % kGroup == 0 || (step.kernel == 3 && step.stride == 1 && step.second < 0), index,
          "one channel needs a plain 3x3 kernel of stride 1");
  if (step.second < 0) return;
  const NetTensor& second = read(step.second);
  Require(second.channels == out.channels && (step.second_shift == 0 || step.second_shift == 1) &&
              second.divisor == out.divisor << step.second_shift,
          index, "its second operand has another shape");
}

// Checks the values that decide whether int32 sums can overflow. The step still holds the caller's arrays.
void ConvNet::CheckArrays(int index) const {
  const NetStep& step = steps_[static_cast<size_t>(index)].step;
  const bool floats_only = step.kind == NetStepKind::kMean || step.kind == NetStepKind::kLuminance;
  Require(floats_only || (step.weight != nullptr && step.start != nullptr), index, "weight and start must be given");
  Require(step.kind == NetStepKind::kLuminance || step.scale != nullptr, index, "scale must be given");
  Require((step.kind != NetStepKind::kMap && !floats_only) || step.offset != nullptr, index, "offset must be given");
  Require(step.kind != NetStepKind::kLuminance ||
              (step.luma != nullptr && step.luma[0] + step.luma[1] + step.luma[2] == 64 && step.offset[1] > 0),
          index, "luma must sum to 64 and the step be positive");
  if (floats_only) return;
  const bool parts = step.kind != NetStepKind::kConvolution;
  const int inputs = step.kind == NetStepKind::kImage ? 3 : tensors_[static_cast<size_t>(step.input)].tensor.channels;
  const int taps = step.kind == NetStepKind::kMap
                       ? inputs
                       : (step.kind == NetStepKind::kImage ? 27 : step.kernel * step.kernel * inputs);
  const int outputs = step.kind == NetStepKind::kImage ? 2 * kGroup
                      : step.kind == NetStepKind::kMap ? 3 * kGroup
                                                       : tensors_[static_cast<size_t>(step.output)].tensor.channels;
  for (int o = 0; o < outputs; ++o) {
    double most = std::abs(static_cast<double>(step.start[o]));
    for (int k = 0; k < taps; ++k) {
      const int weight = step.weight[static_cast<ptrdiff_t>(o) * taps + k];
      Require(weight >= -kMostWeight && weight <= kMostWeight, index, "weights must have 7 bits");
      most += 255.0 * std::abs(weight);
    }
    const float scale = step.scale[parts ? o % kGroup : o];
    most *= parts ? 128 : 1;
    Require(scale >= 0 && most < kMostSum && most * scale < kMostSum, index, "sums must fit in 32 bits");
  }
}

// A tensor that only the next 3x3 convolution reads is never whole in memory where the image layer writes it.
void ConvNet::FindStrips() {
  for (size_t i = 0; i + 1 < steps_.size(); ++i) {
    const NetStep &image = steps_[i].step, &next = steps_[i + 1].step;
    if (image.kind != NetStepKind::kImage || next.kind != NetStepKind::kConvolution || next.kernel != 3) continue;
    Placed& placed = tensors_[static_cast<size_t>(image.output)];
    placed.in_strips =
        next.input == image.output && next.second != image.output && placed.last_reader == static_cast<int>(i) + 1;
  }
}

// Tensors of equal shape and zero point share memory where the later one is written after the earlier one's last
// reader, so that borders, filled once, stay valid.
void ConvNet::PlaceTensors() {
  std::vector<int> free_after;  // per slot: last reader of the tensor in it
  std::vector<size_t> order(tensors_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return tensors_[a].writer < tensors_[b].writer; });
  for (const size_t index : order) {
    Placed& placed = tensors_[index];
    if (placed.in_strips) continue;
    for (size_t s = 0; s < slot_tensor_.size() && placed.slot < 0; ++s) {
      const NetTensor& there = tensors_[static_cast<size_t>(slot_tensor_[s])].tensor;
      const bool alike = there.divisor == placed.tensor.divisor && there.channels == placed.tensor.channels &&
                         there.zero == placed.tensor.zero;
      if (alike && free_after[s] < placed.writer) placed.slot = static_cast<int>(s);
    }
    if (placed.slot < 0) {
      placed.slot = static_cast<int>(slot_tensor_.size());
      slot_tensor_.push_back(static_cast<int>(index));
      free_after.push_back(0);
    }
    free_after[static_cast<size_t>(placed.slot)] = placed.last_reader;
  }
}

template <typename T>
const T* ConvNet::Copy(const T* from, int count, int padded) {
  auto* const to = static_cast<T*>(memory_.Allocate(static_cast<int64_t>(sizeof(T)) * padded));
  std::fill(to, to + padded, T{});
  std::copy(from, from + count, to);
  return to;
}

// Initial sums for the chosen kernels. The step still holds the caller's weights, (outputs, run).
const int32_t* ConvNet::CopyStart(const NetStep& step, int outputs, int run) {
  auto* const to = static_cast<int32_t*>(memory_.Allocate(static_cast<int64_t>(sizeof(int32_t)) * outputs));
  for (int o = 0; o < outputs; ++o) {
    to[o] = step.start[o];
    for (int k = 0; k < run && kernels_->is_signed; ++k) to[o] += 128 * step.weight[static_cast<int64_t>(o) * run + k];
  }
  return to;
}

// Units of 64 bytes, block after block. weight: (outputs, run); runs are padded with zeros to `padded_run`.
const int8_t* ConvNet::PackUnits(const int8_t* weight, int run, int padded_run, const Split& split) {
  auto* const packed = static_cast<int8_t*>(memory_.Allocate(static_cast<int64_t>(split.groups) * kGroup * padded_run));
  std::memset(packed, 0, static_cast<size_t>(split.groups) * kGroup * static_cast<size_t>(padded_run));
  for (int b = 0; b < split.blocks; ++b) {
    const int first = split.First(b), groups = split.Groups(b);
    int8_t* const block = packed + static_cast<int64_t>(first) * kGroup * padded_run;
    for (int o = 0; o < groups * kGroup; ++o) {
      const int8_t* const from = weight + static_cast<int64_t>(first * kGroup + o) * run;
      for (int k = 0; k < run; ++k) {
        block[(static_cast<int64_t>(k / 4) * groups + o / kGroup) * kUnitBytes + 4 * (o % kGroup) + k % 4] = from[k];
      }
    }
  }
  return packed;
}

void ConvNet::PackStep(Packed* packed) {
  NetStep& step = packed->step;
  if (step.kind == NetStepKind::kConvolution) {
    const int inputs = tensors_[static_cast<size_t>(step.input)].tensor.channels;
    const int outputs = tensors_[static_cast<size_t>(step.output)].tensor.channels;
    const int groups = outputs / kGroup, run = step.kernel * step.kernel * inputs;
    packed->split = {groups, (groups + kernels_->most_groups - 1) / kernels_->most_groups};
    packed->weights = PackUnits(step.weight, run, RoundUp(run, nets::kRunMultiple), packed->split);
    if (inputs == 1) packed->taps = PackThinTaps(step.weight, outputs);
    step.start = CopyStart(step, outputs, run);
    step.scale = Copy(step.scale, outputs, outputs);
  } else if (step.kind == NetStepKind::kImage) {
    packed->weights = PackUnits(step.weight, nets::kImageTaps, nets::kImageRun, {2, 1});
    packed->taps = PackImageTaps(step.weight);
    step.start = CopyStart(step, 2 * kGroup, nets::kImageTaps);
    step.scale = Copy(step.scale, kGroup, kGroup);
  } else if (step.kind == NetStepKind::kMap) {
    const int inputs = tensors_[static_cast<size_t>(step.input)].tensor.channels;
    packed->weights = PackUnits(step.weight, inputs, inputs, {3, 1});
    step.start = CopyStart(step, 3 * kGroup, inputs);
    step.scale = Copy(step.scale, kGroup, kGroup);
    step.offset = Copy(step.offset, kGroup, kGroup);
  } else if (step.kind == NetStepKind::kLuminance) {
    step.luma = Copy(step.luma, 3, 16);
    step.offset = Copy(step.offset, 2, 16);
  } else {
    const int channels = tensors_[static_cast<size_t>(step.input)].tensor.channels;
    step.scale = Copy(step.scale, channels, channels);
    step.offset = Copy(step.offset, channels, channels);
  }
  step.weight = nullptr;
}

// (outputs, 3, 3) -> (outputs, 3, 4).
const int8_t* ConvNet::PackThinTaps(const int8_t* weight, int outputs) {
  auto* const packed = static_cast<int8_t*>(memory_.Allocate(12 * static_cast<int64_t>(outputs)));
  for (int row = 0; row < 3 * outputs; ++row) {
    for (int t = 0; t < 4; ++t) packed[4 * row + t] = t < 3 ? weight[3 * row + t] : int8_t{0};
  }
  return packed;
}

// (2, 16, [row][plane][column]) -> (16, 2, 28) in the order of nets::ImageTap.
const int8_t* ConvNet::PackImageTaps(const int8_t* weight) {
  constexpr int kTaps = 4 * nets::kTapGroups;
  auto* const packed = static_cast<int8_t*>(memory_.Allocate(2 * kGroup * kTaps));
  for (int part = 0; part < 2; ++part) {
    for (int o = 0; o < kGroup; ++o) {
      for (int t = 0; t < kTaps; ++t) {
        const int tap = nets::ImageTap(t);
        packed[(o * 2 + part) * kTaps + t] = tap < 0 ? int8_t{0} : weight[(part * kGroup + o) * nets::kImageTaps + tap];
      }
    }
  }
  return packed;
}

}  // namespace edgeaff
