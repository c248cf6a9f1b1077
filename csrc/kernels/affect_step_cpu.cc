// The weights of affect_step in memory, and the choice of the instruction set. The arithmetic is in affect_step_tile.h.
#include "edgeaff/affect_step.h"

#include <cstring>
#include <stdexcept>

#include "affect_step_cpu.h"
#include "affect_step_tile.h"
#include "edgeaff/cpu_features.h"
#include "simd_scalar.h"

namespace edgeaff {

const StepKernel kStepScalar = StepRunner<Scalar>::Run;

namespace {

constexpr int kStateHeader = 16;

bool InRange(int value, int low, int high) { return low <= value && value <= high; }

int64_t PadTo16(int64_t count) { return (count + 15) / 16 * 16; }

const StepModel::Tensor& Find(const std::unordered_map<std::string, StepModel::Tensor>& tensors,
                              const std::string& name, const std::vector<int64_t>& shape) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) throw std::invalid_argument(name + " is missing");
  if (found->second.shape != shape) throw std::invalid_argument(name + " has another shape than the sizes say");
  return found->second;
}

size_t BytesOf(WeightType type) { return type == WeightType::kFloat32 ? 4 : (type == WeightType::kBfloat16 ? 2 : 1); }

StepKernel ChooseKernel() {
  switch (BestInstructionSet()) {
#if defined(__x86_64__)
    case InstructionSet::kAvx512: return kStepAvx512;
    case InstructionSet::kAvx2: return kStepAvx2;
#elif defined(__aarch64__)
    case InstructionSet::kNeon: return kStepNeon;
#endif
    default: return kStepScalar;
  }
}

}  // namespace

StepModel::StepModel(const StepSizes& sizes, const std::unordered_map<std::string, Tensor>& tensors) : sizes_(sizes) {
  const int d = sizes.size;
  using Limit = PackedLimits;
  const bool in_range = InRange(d, 16, Limit::kSize) && InRange(sizes.num_heads, 1, Limit::kHeads) &&
                        InRange(sizes.ffn_size, 16, Limit::kFfn) && InRange(sizes.band, 1, Limit::kBand) &&
                        InRange(sizes.layers, 0, Limit::kLayers) && InRange(sizes.video_size, 1, Limit::kInput) &&
                        InRange(sizes.audio_size, 1, Limit::kInput) && InRange(sizes.spread_size, 0, Limit::kFfn);
  if (!in_range || sizes.spread_size % 16 != 0 || d % (16 * sizes.num_heads) != 0 || sizes.ffn_size % 16 != 0) {
    throw std::invalid_argument("sizes are outside what the native step has (head size and ffn a multiple of 16)");
  }
  struct Named {
    const char* name;
    StepModality* modality;
    int inputs;
  };
  for (const Named& named : {Named{"video", &video, sizes.video_size}, Named{"audio", &audio, sizes.audio_size}}) {
    const std::string prefix = named.name;
    StepModality& m = *named.modality;
    m.input = Linear(tensors, prefix + ".input", named.inputs, d);
    m.absent = Floats(tensors, prefix + ".absent", {d});
    m.present = Floats(tensors, prefix + ".present", {2, d});
    for (int i = 0; i < sizes.layers; ++i) {
      const std::string at = prefix + "." + std::to_string(i);
      StepLayer layer;
      layer.qkv = Linear(tensors, at + ".qkv", d, 3 * d);
      layer.out = Linear(tensors, at + ".out", d, d);
      layer.ffn1 = Linear(tensors, at + ".ffn1", d, sizes.ffn_size);
      layer.ffn2 = Linear(tensors, at + ".ffn2", sizes.ffn_size, d);
      layer.attention = Attention(tensors, at + ".age_bias");
      m.layers.push_back(layer);
    }
    m.cross = Linear(tensors, prefix + ".cross", d, 2 * d + 2 * sizes.num_heads + 2);
    m.attention = Attention(tensors, prefix + ".cross.age_bias");
  }
  bias = Floats(tensors, "bias", {2});
  if (sizes.spread_size > 0) {
    spread_hidden = Linear(tensors, "spread.hidden", sizes.video_size + 2, sizes.spread_size);
    spread_out = Linear(tensors, "spread.out", sizes.spread_size, 2);
  }
}

const float* StepModel::Floats(const std::unordered_map<std::string, Tensor>& tensors, const std::string& name,
                               const std::vector<int64_t>& shape) {
  const Tensor& tensor = Find(tensors, name, shape);
  if (tensor.type != WeightType::kFloat32) throw std::invalid_argument(name + " is not float32");
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  auto* const to = static_cast<float*>(memory_.Allocate(PadTo16(count) * 4));
  std::memset(to, 0, static_cast<size_t>(PadTo16(count)) * 4);
  std::memcpy(to, tensor.data, static_cast<size_t>(count) * 4);
  return to;
}

StepLinear StepModel::Linear(const std::unordered_map<std::string, Tensor>& tensors, const std::string& name,
                             int inputs, int outputs) {
  const Tensor& tensor = Find(tensors, name + ".weight", {inputs, outputs});
  const size_t size = BytesOf(tensor.type);
  const size_t row = static_cast<size_t>(PadTo16(outputs)) * size;
  auto* const to = static_cast<char*>(memory_.Allocate(static_cast<int64_t>(row) * inputs));
  std::memset(to, 0, row * static_cast<size_t>(inputs));
  for (int i = 0; i < inputs; ++i) {
    const size_t packed_row = static_cast<size_t>(outputs) * size;
    std::memcpy(to + i * row, static_cast<const char*>(tensor.data) + i * packed_row, packed_row);
  }
  StepLinear linear;
  linear.type = tensor.type;
  linear.inputs = inputs;
  linear.outputs = outputs;
  linear.weight = to;
  linear.bias = Floats(tensors, name + ".bias", {outputs});
  if (tensor.type == WeightType::kInt8) linear.scale = Floats(tensors, name + ".scale", {outputs});
  return linear;
}

// From (num_heads, W) by age to the doubled, backward form that a ring reads at any rotation.
StepAttention StepModel::Attention(const std::unordered_map<std::string, Tensor>& tensors, const std::string& name) {
  const Tensor& tensor = Find(tensors, name, {sizes_.num_heads, sizes_.band});
  if (tensor.type != WeightType::kFloat32) throw std::invalid_argument(name + " is not float32");
  const auto* const by_age = static_cast<const float*>(tensor.data);
  const int64_t band = sizes_.band, width = 2 * padded_band();
  const int64_t count = sizes_.num_heads * width + 16;
  auto* const to = static_cast<float*>(memory_.Allocate(count * 4));
  std::memset(to, 0, static_cast<size_t>(count) * 4);
  for (int64_t h = 0; h < sizes_.num_heads; ++h) {
    for (int64_t x = 0; x < width; ++x) to[h * width + x] = by_age[h * band + (band - x % band) % band];
  }
  StepAttention attention;
  attention.age_bias = to;
  return attention;
}

int64_t StepModel::state_floats() const {
  const int64_t d = sizes_.size, heads = sizes_.num_heads, layers = sizes_.layers;
  return kStateHeader + 2 * (d + 2 * heads) * padded_band() + 4 * layers * d * padded_band();
}

int64_t StepModel::scratch_floats() const {
  return 24 * static_cast<int64_t>(sizes_.size) + sizes_.ffn_size + sizes_.audio_size + padded_band() + 512 +
         sizes_.video_size + sizes_.spread_size + 32;
}

void StepModel::Step(float* state, const float* video_values, const float* audio_values, float* values) const {
  thread_local std::vector<float> scratch;
  if (static_cast<int64_t>(scratch.size()) < scratch_floats()) scratch.resize(static_cast<size_t>(scratch_floats()));
  Step(state, video_values, audio_values, values, scratch.data());
}

void StepModel::Step(float* state, const float* video_values, const float* audio_values, float* values,
                     float* scratch) const {
  ChooseKernel()(*this, state, video_values, audio_values, scratch, values);
}

}  // namespace edgeaff
