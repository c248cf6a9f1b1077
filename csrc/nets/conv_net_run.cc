// Execution of a network: see conv_net.cc for its construction.
#include <algorithm>
#include <cstring>

#include "edgeaff/conv_net.h"
#include "edgeaff/cpu_features.h"
#include "nets/convolve.h"

namespace edgeaff {
namespace {

using nets::Block;
using nets::Form;
using nets::kGroup;
using nets::kImageRun;
using nets::kReadSlack;
using nets::kRunMultiple;

constexpr int64_t kStripBytes = 24 << 10;  // of what the image layer writes at a time: half of a first-level cache

int64_t Align(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Rows of the convolution behind the image layer that are computed at a time.
int StripRows(int columns, int stride) {
  const int64_t row = static_cast<int64_t>(columns + 2) * kGroup;
  return static_cast<int>(std::max<int64_t>((kStripBytes / row - 3) / stride + 1, 1));
}

int64_t StripBytes(int columns, int stride) {
  const int64_t rows = (StripRows(columns, stride) - 1) * static_cast<int64_t>(stride) + 3;
  return Align(rows * (columns + 2) * kGroup + kReadSlack);
}

// The scratch of the image layer: a row of zeros, then the runs of one output row.
int64_t ZeroRowBytes(int width) { return Align(width + kReadSlack); }
int64_t RunsBytes(int columns, int run) { return Align(static_cast<int64_t>(columns) * run + kReadSlack); }

// The 27 taps of every output pixel of a row side by side. The fourth byte of each copy is overwritten by the next one
// or meets a weight of zero; the first and last pixel are copied by the byte, for the border and the end of the plane.
void CopyImageRuns(const nets::ImageRow& row, uint8_t* runs) {
  for (int source = 0; source < 9; ++source) {
    const uint8_t* const from = row.rows[source / 3][source % 3];
    uint8_t* to = runs + 3 * source;
    to[0] = 0, to[1] = from[0], to[2] = from[1];
    for (int x = 1; x + 1 < row.columns; ++x) std::memcpy(to + kImageRun * x, from + 2 * x - 1, 4);
    const int last = row.columns - 1;
    for (int i = 0; i < 3 && last > 0; ++i) to[kImageRun * last + i] = from[2 * last - 1 + i];
  }
}

}  // namespace

namespace nets {

const Kernels& BestKernels() {
#if defined(__x86_64__)
  if (HasAvx512Vnni()) return kAvx512VnniKernels;
  if (BestInstructionSet() == InstructionSet::kAvx512 || BestInstructionSet() == InstructionSet::kAvx2)
    return kAvx2Kernels;
#elif defined(__aarch64__)
  if (HasDotProduct()) return kNeonDotKernels;
  if (BestInstructionSet() == InstructionSet::kNeon) return kNeonKernels;
#endif
  return kScalarKernels;
}

}  // namespace nets

// A tensor in a workspace.
struct ConvNet::View {
  uint8_t* base;  // first byte of the border
  ptrdiff_t row;  // bytes, border included
  int rows, columns, channels, zero;
  uint8_t* inside() const { return base + row + channels; }
};

// A workspace: int64 offsets of scratch and of every tensor, written by Prepare | scratch | tensors.
int64_t ConvNet::HeadBytes() const { return Align(static_cast<int64_t>(sizeof(int64_t)) * (1 + tensors_.size())); }

uint8_t* ConvNet::Scratch(char* workspace) {
  return reinterpret_cast<uint8_t*>(workspace) + *reinterpret_cast<const int64_t*>(workspace);
}

const char* ConvNet::instruction_set() const { return kernels_->name; }

int64_t ConvNet::TensorBytes(int index, int height, int width) const {
  const NetTensor& tensor = tensors_[static_cast<size_t>(index)].tensor;
  const int64_t rows = height / tensor.divisor + 2, columns = width / tensor.divisor + 2;
  return Align(rows * columns * tensor.channels + kReadSlack);
}

int64_t ConvNet::ScratchBytes(int height, int width) const {
  int64_t most = 0;
  for (size_t i = 0; i < steps_.size(); ++i) {
    const NetStep& step = steps_[i].step;
    const int columns = width / 2;
    if (step.kind == NetStepKind::kImage) {
      int64_t bytes = ZeroRowBytes(width) + RunsBytes(columns, kImageRun);
      if (tensors_[static_cast<size_t>(step.output)].in_strips) bytes += StripBytes(columns, steps_[i + 1].step.stride);
      most = std::max(most, bytes);
    } else if (step.kind == NetStepKind::kLuminance) {
      most = std::max(most, Align(static_cast<int64_t>(height / 2) * columns * 2));
    } else if (step.kind == NetStepKind::kConvolution &&
               tensors_[static_cast<size_t>(step.input)].tensor.channels == 1) {
      most = std::max(most, RunsBytes(width / tensors_[static_cast<size_t>(step.input)].tensor.divisor, kRunMultiple));
    }
  }
  return most;
}

int64_t ConvNet::WorkspaceBytes(int height, int width) const {
  for (const int size : {height, width}) {
    if (size <= 0 || size > kMostSize || size % multiple_ != 0) return 0;
  }
  int64_t total = HeadBytes() + ScratchBytes(height, width);
  for (const int index : slot_tensor_) total += TensorBytes(index, height, width);
  return total;
}

ConvNet::Shape ConvNet::OutputShape(int output, int height, int width) const {
  for (const Packed& packed : steps_) {
    const bool to_floats = packed.step.kind == NetStepKind::kMap || packed.step.kind == NetStepKind::kMean;
    if (!to_floats || packed.step.output != output) continue;
    const NetTensor& in = tensors_[static_cast<size_t>(packed.step.input)].tensor;
    if (packed.step.kind == NetStepKind::kMean) return {1, 1, in.channels};
    return {height / in.divisor, width / in.divisor, kGroup};
  }
  return {0, 0, 0};
}

ConvNet::View ConvNet::Look(int index, int height, int width, char* workspace) const {
  const NetTensor& tensor = tensors_[static_cast<size_t>(index)].tensor;
  const int rows = height / tensor.divisor, columns = width / tensor.divisor;
  auto* const base = reinterpret_cast<uint8_t*>(workspace) + reinterpret_cast<const int64_t*>(workspace)[1 + index];
  return {base, static_cast<ptrdiff_t>(columns + 2) * tensor.channels, rows, columns, tensor.channels, tensor.zero};
}

uint8_t* ConvNet::TensorData(int index, int height, int width, void* workspace, ptrdiff_t* row) const {
  if (tensors_[static_cast<size_t>(index)].in_strips) return nullptr;
  const View view = Look(index, height, width, static_cast<char*>(workspace));
  *row = view.row;
  return view.inside();
}

void ConvNet::Prepare(int height, int width, void* workspace) const {
  auto* const memory = static_cast<char*>(workspace);
  auto* const offsets = static_cast<int64_t*>(workspace);
  const int64_t slots = HeadBytes() + ScratchBytes(height, width);
  offsets[0] = HeadBytes();
  std::memset(memory + offsets[0], 0, static_cast<size_t>(slots - offsets[0]));
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Placed& placed = tensors_[i];
    int64_t at = slots, bytes = TensorBytes(static_cast<int>(i), height, width);
    for (int slot = 0; slot < placed.slot; ++slot)
      at += TensorBytes(slot_tensor_[static_cast<size_t>(slot)], height, width);
    if (placed.in_strips) {
      at = offsets[0] + ZeroRowBytes(width) + RunsBytes(width / 2, kImageRun);
      bytes = StripBytes(width / 2, steps_[static_cast<size_t>(placed.writer) + 1].step.stride);
    }
    offsets[1 + i] = at;
    std::memset(memory + at, placed.tensor.zero, static_cast<size_t>(bytes));
  }
}

void ConvNet::RunSteps(int first, int last, const uint8_t* input, int height, int width, void* workspace,
                       float* const* outputs) const {
  auto* const memory = static_cast<char*>(workspace);
  auto* const scratch = Scratch(memory);
  for (int index = first; index < last; ++index) {
    const Packed& packed = steps_[static_cast<size_t>(index)];
    const NetStep& step = packed.step;
    switch (step.kind) {
      case NetStepKind::kImage:
        if (tensors_[static_cast<size_t>(step.output)].in_strips) {
          RunInStrips(index, input, height, width, memory);
        } else {
          const View out = Look(step.output, height, width, memory);
          RunImage(packed, input, height, width, 0, out.rows, out.inside(), out.row, scratch);
        }
        break;
      case NetStepKind::kConvolution:
        if (!tensors_[static_cast<size_t>(step.input)].in_strips) RunConvolution(index, height, width, memory);
        break;
      case NetStepKind::kMap: RunMap(packed, Look(step.input, height, width, memory), outputs[step.output]); break;
      case NetStepKind::kLuminance:
        RunLuminance(packed, input, Look(step.output, height, width, memory), scratch);
        break;
      case NetStepKind::kMean: RunMean(packed, Look(step.input, height, width, memory), outputs[step.output]); break;
    }
  }
}

// Rows first .. first + count - 1 of the image layer. scratch: zero row and runs.
void ConvNet::RunImage(const Packed& packed, const uint8_t* input, int height, int width, int first, int count,
                       uint8_t* out, ptrdiff_t out_row, uint8_t* scratch) const {
  const ptrdiff_t plane = static_cast<ptrdiff_t>(height) * width;
  uint8_t* const runs = scratch + ZeroRowBytes(width);
  nets::ImageRow row;
  row.columns = width / 2;
  row.weights = packed.taps;
  row.start = packed.step.start;
  row.scale = packed.step.scale;
  row.zero = packed.step.zero;
  Block block;
  block.form = Form::kImage;
  block.in = runs, block.in_pixel = kImageRun;
  block.kernel_rows = 1, block.run_bytes = kImageRun;
  block.weights = packed.weights, block.start = row.start, block.scale = row.scale, block.zero = row.zero;
  block.groups = 2, block.out_pixel = kGroup, block.rows = 1, block.columns = row.columns;
  for (int y = first; y < first + count; ++y) {
    for (int k = 0; k < 3; ++k) {
      const int from = 2 * y - 1 + k;
      for (int p = 0; p < 3; ++p)
        row.rows[k][p] = from < 0 ? scratch : input + p * plane + static_cast<ptrdiff_t>(from) * width;
    }
    row.out = block.out = out + (y - first) * out_row;
    if (kernels_->image_row != nullptr && row.columns % kGroup == 0) {
      kernels_->image_row(row);
    } else {
      CopyImageRuns(row, runs);
      kernels_->convolve(block);
    }
  }
}

// The image layer and the convolution behind it, a strip of rows at a time: what lies between never leaves the cache.
//
//   row r of the convolution reads image rows stride * r - 1 .. stride * r + 1; rows that two strips share are moved up
void ConvNet::RunInStrips(int index, const uint8_t* input, int height, int width, char* workspace) const {
  const Packed &image = steps_[static_cast<size_t>(index)], &next = steps_[static_cast<size_t>(index) + 1];
  const View whole = Look(image.step.output, height, width, workspace);  // its base is the strip
  const View out = Look(next.step.output, height, width, workspace);
  const ptrdiff_t row = whole.row;
  uint8_t* const strip = whole.base;
  const int stride = next.step.stride, most = StripRows(whole.columns, stride);
  std::memset(strip, whole.zero, static_cast<size_t>(row));  // the border above row 0
  int first = 0, held = 1;  // the next row of the image layer; rows at the top of the strip
  for (int y = 0; y < out.rows; y += most) {
    const int rows = std::min(most, out.rows - y),
              end = stride * (y + rows - 1) + 2;  // the row behind the last one needed
    const int count = std::min(end, whole.rows) - first;
    RunImage(image, input, height, width, first, count, strip + held * row + kGroup, row, Scratch(workspace));
    if (end > whole.rows) std::memset(strip + (held + count) * row, whole.zero, static_cast<size_t>(row));
    ConvolveRows(next, strip, row, kGroup, out, y, rows, height, width, workspace);
    first += count;
    held = 3 - stride;
    std::memmove(strip, strip + static_cast<ptrdiff_t>(rows) * stride * row, static_cast<size_t>(held * row));
  }
}

void ConvNet::RunConvolution(int index, int height, int width, char* workspace) const {
  const Packed& packed = steps_[static_cast<size_t>(index)];
  const View in = Look(packed.step.input, height, width, workspace),
             out = Look(packed.step.output, height, width, workspace);
  if (in.channels == 1) return RunOneChannel(packed, in, out, Scratch(workspace));
  const uint8_t* const first = packed.step.kernel == 3 ? in.base : in.inside();
  ConvolveRows(packed, first, in.row, in.channels, out, 0, out.rows, height, width, workspace);
}

// Rows first .. first + rows - 1 of a convolution. in: the first byte under output row `first`.
void ConvNet::ConvolveRows(const Packed& packed, const uint8_t* in, ptrdiff_t in_row, int channels, const View& out,
                           int first, int rows, int height, int width, char* workspace) const {
  const NetStep& step = packed.step;
  Block block;
  block.in = in, block.in_row = step.stride * in_row, block.in_pixel = static_cast<ptrdiff_t>(step.stride) * channels;
  block.tap_row = in_row, block.kernel_rows = step.kernel, block.run_bytes = step.kernel * channels;
  block.zero = step.zero;
  block.out_row = out.row, block.out_pixel = out.channels, block.rows = rows, block.columns = out.columns;
  View second{};
  if (step.second >= 0) {
    second = Look(step.second, height, width, workspace);
    block.second.row = second.row, block.second.pixel = second.channels, block.second.shift = step.second_shift;
    block.second.is_first = step.second_is_first != 0;
    block.second.own = step.own, block.second.factor = step.factor, block.second.constant = step.constant;
  }
  for (int b = 0; b < packed.split.blocks; ++b) {
    const int at = packed.split.First(b) * kGroup;
    block.weights = packed.weights + static_cast<int64_t>(at) * step.kernel * block.run_bytes;
    block.start = step.start + at, block.scale = step.scale + at;
    block.groups = packed.split.Groups(b);
    block.out = out.inside() + first * out.row + at;
    if (step.second >= 0) block.second.data = second.inside() + (first >> step.second_shift) * second.row + at;
    kernels_->convolve(block);
  }
}

// One channel: without a kernel for it, the nine taps of every pixel side by side and a 1x1 convolution of 16 channels.
void ConvNet::RunOneChannel(const Packed& packed, const View& in, const View& out, uint8_t* scratch) const {
  const bool direct = kernels_->thin_row != nullptr && out.columns % kGroup == 0;
  Packed as_runs = packed;
  as_runs.step.kernel = 1, as_runs.step.stride = 1;
  View row_out = out;
  row_out.rows = 1;
  for (int y = 0; y < out.rows; ++y) {
    const uint8_t* const first = in.base + y * in.row;
    if (direct) {
      kernels_->thin_row({{first, first + in.row, first + 2 * in.row},
                          out.columns,
                          packed.taps,
                          packed.step.start,
                          packed.step.scale,
                          packed.step.zero,
                          out.channels,
                          out.inside() + y * out.row});
      continue;
    }
    for (int k = 0; k < 3;
         ++k) {  // the fourth byte of each copy is overwritten by the next one or meets a weight of zero
      const uint8_t* const from = first + k * in.row;
      for (int x = 0; x < out.columns; ++x) std::memcpy(scratch + kRunMultiple * x + 3 * k, from + x, 4);
    }
    row_out.base = out.base + y * out.row;
    ConvolveRows(as_runs, scratch, 0, kRunMultiple, row_out, 0, 1, 0, 0, nullptr);
  }
}

void ConvNet::RunMap(const Packed& packed, const View& in, float* out) const {
  Block block;
  block.form = Form::kMap;
  block.in = in.inside(), block.in_row = in.row, block.in_pixel = in.channels;
  block.kernel_rows = 1, block.run_bytes = in.channels;
  block.weights = packed.weights, block.start = packed.step.start, block.scale = packed.step.scale,
  block.offset = packed.step.offset;
  block.groups = 3;
  block.out_pixel = kGroup * static_cast<ptrdiff_t>(sizeof(float)), block.out_row = in.columns * block.out_pixel;
  block.out = reinterpret_cast<uint8_t*>(out), block.rows = in.rows, block.columns = in.columns;
  kernels_->convolve(block);
}

void ConvNet::RunLuminance(const Packed& packed, const uint8_t* input, const View& out, uint8_t* scratch) const {
  auto* const levels = reinterpret_cast<int16_t*>(scratch);
  const ptrdiff_t input_row = 6 * static_cast<ptrdiff_t>(out.columns);
  for (int y = 0; y < out.rows; ++y) {
    const uint8_t* const top = input + 2 * y * input_row;
    kernels_->luminance_row(
        {top, top + input_row, out.columns, packed.step.luma, levels + static_cast<ptrdiff_t>(y) * out.columns});
  }
  kernels_->standardize({levels, out.rows, out.columns, packed.step.offset[0], packed.step.offset[1], packed.step.zero,
                         out.inside(), out.row});
}

void ConvNet::RunMean(const Packed& packed, const View& in, float* out) const {
  for (int c = 0; c < in.channels; c += kGroup) {
    int32_t sums[kGroup] = {};
    for (int y = 0; y < in.rows; ++y) {
      const uint8_t* pixel = in.inside() + y * in.row + c;
      for (int x = 0; x < in.columns; ++x, pixel += in.channels) {
        for (int i = 0; i < kGroup; ++i) sums[i] += pixel[i];
      }
    }
    for (int i = 0; i < kGroup; ++i)
      out[c + i] = static_cast<float>(sums[i]) * packed.step.scale[c + i] + packed.step.offset[c + i];
  }
}

}  // namespace edgeaff
