// The weights of window_step in memory, and the choice of the instruction set. The arithmetic is in window_step_tile.h.
#include "edgeaff/window_step.h"

#include <cstring>
#include <stdexcept>

#include "edgeaff/cpu_features.h"
#include "simd_scalar.h"
#include "window_step_cpu.h"
#include "window_step_tile.h"

namespace edgeaff {

const WindowKernel kWindowScalar{WindowRunner<Scalar, PlainDot>::Append, WindowRunner<Scalar, PlainDot>::Step};

namespace {

const WindowStepModel::Tensor& Find(const std::unordered_map<std::string, WindowStepModel::Tensor>& tensors,
                                    const std::string& name, const std::vector<int64_t>& shape, bool is_byte) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) throw std::invalid_argument(name + " is missing");
  if (found->second.shape != shape) throw std::invalid_argument(name + " has another shape than the sizes say");
  if (found->second.is_byte != is_byte)
    throw std::invalid_argument(name + (is_byte ? " is not int8" : " is not float32"));
  return found->second;
}

const WindowKernel& ChooseKernel() {
  switch (BestInstructionSet()) {
#if defined(__x86_64__)
    case InstructionSet::kAvx512: return HasAvx512Vnni() ? kWindowAvx512Vnni : kWindowAvx512;
    case InstructionSet::kAvx2: return kWindowAvx2;
#elif defined(__aarch64__)
    case InstructionSet::kNeon: return kWindowNeon;
#endif
    default: return kWindowScalar;
  }
}

char* Scratch(int64_t bytes) {
  thread_local std::vector<char> memory;
  if (static_cast<int64_t>(memory.size()) < bytes + kAlignment) memory.resize(static_cast<size_t>(bytes + kAlignment));
  return Aligned(memory.data());
}

}  // namespace

WindowStepModel::WindowStepModel(const WindowSizes& sizes, const Tensors& tensors) : sizes_(sizes) {
  const int d = sizes.size;
  const int head = sizes.num_heads < 1 ? 0 : d / sizes.num_heads;
  using Limit = PackedLimits;
  const bool too_large = d > Limit::kSize || sizes.num_heads > Limit::kHeads || sizes.ffn_size > Limit::kFfn ||
                         sizes.layers > Limit::kLayers || sizes.ticks > Limit::kTicks ||
                         sizes.video_size > Limit::kInput || sizes.audio_size > Limit::kInput;
  if (too_large || d < kPanel || d % kPanel != 0 || head < 16 || head > 256 || head % 16 != 0 ||
      head * sizes.num_heads != d || sizes.ffn_size < kPanel || sizes.ffn_size % kPanel != 0 || sizes.layers < 1 ||
      sizes.ticks < 2 || sizes.video_size < 4 || sizes.video_size % 4 != 0 || sizes.audio_size < 4 ||
      sizes.audio_size % 4 != 0) {
    throw std::invalid_argument(
        "sizes are outside what the native window step has (size and ffn multiples of 64, inputs of 4)");
  }
  FillModality(tensors, "video", sizes.video_size, &video);
  FillModality(tensors, "audio", sizes.audio_size, &audio);
  bias = Floats(tensors, "bias", {2});
}

void WindowStepModel::FillModality(const Tensors& tensors, const std::string& name, int inputs, WindowModality* m) {
  const int d = sizes_.size, head = d / sizes_.num_heads;
  m->project = Linear(tensors, name + ".project", inputs, d);
  m->positions = Floats(tensors, name + ".positions", {sizes_.ticks, d});
  m->packed_positions = Floats(tensors, name + ".packed_positions", {sizes_.ticks, 3 * d});
  for (int i = 0; i < sizes_.layers; ++i) {
    const std::string at = name + "." + std::to_string(i);
    WindowLayer layer;
    layer.qkv = Linear(tensors, at + ".qkv", d, 3 * d);
    layer.out = Linear(tensors, at + ".out", d, d);
    layer.ffn1 = Linear(tensors, at + ".ffn1", d, sizes_.ffn_size);
    layer.ffn2 = Linear(tensors, at + ".ffn2", sizes_.ffn_size, d);
    layer.norm1_weight = Floats(tensors, at + ".norm1.weight", {d});
    layer.norm1_bias = Floats(tensors, at + ".norm1.bias", {d});
    layer.norm2_weight = Floats(tensors, at + ".norm2.weight", {d});
    layer.norm2_bias = Floats(tensors, at + ".norm2.bias", {d});
    m->layers.push_back(layer);
  }
  m->query = Linear(tensors, name + ".query", d, d);
  for (int h = 0; h < sizes_.num_heads; ++h)
    m->keys.push_back(Linear(tensors, name + ".key." + std::to_string(h), head, d));
  m->answer = Floats(tensors, name + ".answer", {2, sizes_.num_heads, d});
  m->answer_bias = Floats(tensors, name + ".answer_bias", {2});
  m->residual = Floats(tensors, name + ".residual", {2, d});
}

const float* WindowStepModel::Floats(const Tensors& tensors, const std::string& name,
                                     const std::vector<int64_t>& shape) {
  const Tensor& tensor = Find(tensors, name, shape, false);
  size_t count = 1;
  for (const int64_t size : shape) count *= static_cast<size_t>(size);
  auto* const to = static_cast<float*>(memory_.Allocate(static_cast<int64_t>(count) * 4));
  std::memcpy(to, tensor.data, count * 4);
  return to;
}

ByteLinear WindowStepModel::Linear(const Tensors& tensors, const std::string& name, int inputs, int outputs) {
  const Tensor& tensor = Find(tensors, name + ".weight", {inputs, outputs}, true);
  const auto* const from = static_cast<const int8_t*>(tensor.data);
  auto* const panels = static_cast<int8_t*>(memory_.Allocate(static_cast<int64_t>(inputs) * outputs));
  auto* const sums = static_cast<int32_t*>(memory_.Allocate(static_cast<int64_t>(outputs) * 4));
  std::memset(sums, 0, static_cast<size_t>(outputs) * 4);
  for (int64_t k = 0; k < inputs; ++k) {
    for (int64_t c = 0; c < outputs; ++c) {
      const int8_t weight = from[k * outputs + c];
      panels[c / kPanel * kPanel * inputs + k / 4 * 4 * kPanel + c % kPanel * 4 + k % 4] = weight;
      sums[c] += weight;
    }
  }
  ByteLinear linear;
  linear.inputs = inputs;
  linear.outputs = outputs;
  linear.panels = panels;
  linear.column_sums = sums;
  linear.scale = Floats(tensors, name + ".scale", {outputs});
  linear.bias = Floats(tensors, name + ".bias", {outputs});
  return linear;
}

int64_t WindowStepModel::side_bytes() const {
  const int64_t d = sizes_.size, ticks = sizes_.ticks, wide = d > sizes_.ffn_size ? d : sizes_.ffn_size;
  const int64_t inputs = sizes_.video_size > sizes_.audio_size ? sizes_.video_size : sizes_.audio_size;
  const int64_t floats = ticks * (5 * d + wide + 1), bytes = ticks + (inputs > ticks * wide ? inputs : ticks * wide);
  return (4 * floats + bytes + kAlignment - 1) / kAlignment * kAlignment;
}

void WindowStepModel::Append(const float* video_values, const float* audio_values, float* row) const {
  ChooseKernel().append(*this, video_values, audio_values, Scratch(2 * side_bytes()), row);
}

void WindowStepModel::Step(const float* const* rows, const float* video_values, const float* audio_values, int threads,
                           float* row, float* values) const {
  ChooseKernel().step(*this, rows, video_values, audio_values, threads, Scratch(2 * side_bytes()), row, values);
}

}  // namespace edgeaff
