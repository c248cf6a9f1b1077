// The packed steps: sizes out of range are refused before anything is computed from them; the smallest models run, in memory exactly
// as large as they state, with every instruction set.
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "check.h"
#include "edgeaff/affect_step.h"
#include "edgeaff/cpu_features.h"
#include "edgeaff/window_step.h"

namespace {

using edgeaff::StepModel;
using edgeaff::StepSizes;
using edgeaff::WindowSizes;
using edgeaff::WindowStepModel;

// Owns what the tensors of a model point to.
struct Store {
  std::vector<std::vector<float>> floats;
  std::vector<std::vector<int8_t>> bytes;

  const float* Floats(const std::vector<int64_t>& shape) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    std::vector<float> values(static_cast<size_t>(count));
    for (size_t i = 0; i < values.size(); ++i) values[i] = 0.1f * std::sin(static_cast<float>(i + floats.size()));
    floats.push_back(values);
    return floats.back().data();
  }
  const int8_t* Bytes(int64_t count) {
    std::vector<int8_t> values(static_cast<size_t>(count));
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int8_t>(i * 37 + bytes.size());
    bytes.push_back(values);
    return bytes.back().data();
  }
};

constexpr int kStepSize = 32, kStepFfn = 16, kStepBand = 3;

StepSizes SmallStep() {
  StepSizes sizes;
  sizes.video_size = 5;
  sizes.audio_size = 7;
  sizes.size = kStepSize;
  sizes.num_heads = 2;
  sizes.ffn_size = kStepFfn;
  sizes.layers = 1;
  sizes.band = kStepBand;
  return sizes;
}

std::unordered_map<std::string, StepModel::Tensor> StepTensors(const StepSizes& sizes, Store* store) {
  std::unordered_map<std::string, StepModel::Tensor> tensors;
  const auto put = [&](const std::string& name, const std::vector<int64_t>& shape) {
    tensors[name] = {edgeaff::WeightType::kFloat32, store->Floats(shape), shape};
  };
  const int64_t d = sizes.size, heads = sizes.num_heads;
  const auto linear = [&](const std::string& name, int64_t inputs, int64_t outputs) {
    put(name + ".weight", {inputs, outputs});
    put(name + ".bias", {outputs});
  };
  for (const auto& [name, inputs] :
       {std::pair<std::string, int64_t>{"video", sizes.video_size}, {"audio", sizes.audio_size}}) {
    linear(name + ".input", inputs, d);
    put(name + ".absent", {d});
    put(name + ".present", {2, d});
    linear(name + ".0.qkv", d, 3 * d);
    linear(name + ".0.out", d, d);
    linear(name + ".0.ffn1", d, sizes.ffn_size);
    linear(name + ".0.ffn2", sizes.ffn_size, d);
    put(name + ".0.age_bias", {heads, sizes.band});
    linear(name + ".cross", d, 2 * d + 2 * heads + 2);
    put(name + ".cross.age_bias", {heads, sizes.band});
  }
  put("bias", {2});
  return tensors;
}

WindowSizes SmallWindow() {
  WindowSizes sizes;
  sizes.video_size = 4;
  sizes.audio_size = 8;
  sizes.size = 64;
  sizes.num_heads = 2;
  sizes.ffn_size = 64;
  sizes.layers = 1;
  sizes.ticks = 3;
  return sizes;
}

std::unordered_map<std::string, WindowStepModel::Tensor> WindowTensors(const WindowSizes& sizes, Store* store) {
  std::unordered_map<std::string, WindowStepModel::Tensor> tensors;
  const int64_t d = sizes.size, heads = sizes.num_heads, ticks = sizes.ticks;
  const auto put = [&](const std::string& name, const std::vector<int64_t>& shape) {
    tensors[name] = {false, store->Floats(shape), shape};
  };
  const auto linear = [&](const std::string& name, int64_t inputs, int64_t outputs) {
    tensors[name + ".weight"] = {true, store->Bytes(inputs * outputs), {inputs, outputs}};
    put(name + ".scale", {outputs});
    put(name + ".bias", {outputs});
  };
  for (const auto& [name, inputs] :
       {std::pair<std::string, int64_t>{"video", sizes.video_size}, {"audio", sizes.audio_size}}) {
    linear(name + ".project", inputs, d);
    linear(name + ".query", d, d);
    for (int64_t h = 0; h < heads; ++h) linear(name + ".key." + std::to_string(h), d / heads, d);
    put(name + ".positions", {ticks, d});
    put(name + ".packed_positions", {ticks, 3 * d});
    put(name + ".answer", {2, heads, d});
    put(name + ".answer_bias", {2});
    put(name + ".residual", {2, d});
    linear(name + ".0.qkv", d, 3 * d);
    linear(name + ".0.out", d, d);
    linear(name + ".0.ffn1", d, sizes.ffn_size);
    linear(name + ".0.ffn2", sizes.ffn_size, d);
    for (const char* part : {".0.norm1.weight", ".0.norm1.bias", ".0.norm2.weight", ".0.norm2.bias"})
      put(name + part, {d});
  }
  put("bias", {2});
  return tensors;
}

template <class Model, class Sizes, class Tensors>
bool Refuses(const Sizes& sizes, const Tensors& tensors) {
  try {
    Model model(sizes, tensors);
  } catch (const std::invalid_argument&) { return true; }
  return false;
}

// Every size in turn is set to what would divide by zero, overflow or not fit.
template <class Model, class Sizes, class Tensors>
void TestSizes(const Sizes& sizes, const Tensors& tensors, const std::vector<int Sizes::*>& members) {
  constexpr int kLowest = std::numeric_limits<int>::min(), kHighest = std::numeric_limits<int>::max();
  for (const auto member : members) {
    for (const int value : {kLowest, -1, 0, 3, 1 << 16, 1 << 28, kHighest - 15, kHighest}) {
      Sizes changed = sizes;
      changed.*member = value;
      if (value == sizes.*member) continue;
      CHECK((Refuses<Model>(changed, tensors)));
    }
  }
}

bool IsValue(float value) { return value >= -1.0f && value <= 1.0f; }

void TestStep() {
  Store store;
  const StepSizes sizes = SmallStep();
  const auto tensors = StepTensors(sizes, &store);
  TestSizes<StepModel>(sizes, tensors,
                       {&StepSizes::video_size, &StepSizes::audio_size, &StepSizes::size, &StepSizes::num_heads,
                        &StepSizes::ffn_size, &StepSizes::band});
  StepSizes deep = sizes;  // none is a model too
  for (const int layers : {-1, 2, 65, std::numeric_limits<int>::max()}) {
    deep.layers = layers;
    CHECK((Refuses<StepModel>(deep, tensors)));
  }
  const StepModel model(sizes, tensors);
  const std::vector<float> video(5, 0.5f), audio(7, -0.5f);
  for (const char* name : {"scalar", "neon", "avx2", "best"}) {
    CHECK(edgeaff::SetInstructionSetLimit(name));
    std::vector<float> state(static_cast<size_t>(model.state_floats()), 0.0f);
    for (int tick = 0; tick < 3 * kStepBand; ++tick) {
      float values[2];
      model.Step(state.data(), tick % 3 == 1 ? nullptr : video.data(), tick % 4 == 2 ? nullptr : audio.data(), values);
      CHECK(IsValue(values[0]) && IsValue(values[1]));
    }
  }
}

void TestWindow() {
  Store store;
  const WindowSizes sizes = SmallWindow();
  const auto tensors = WindowTensors(sizes, &store);
  TestSizes<WindowStepModel>(
      sizes, tensors,
      {&WindowSizes::video_size, &WindowSizes::audio_size, &WindowSizes::size, &WindowSizes::num_heads,
       &WindowSizes::ffn_size, &WindowSizes::layers, &WindowSizes::ticks});
  const WindowStepModel model(sizes, tensors);
  const std::vector<float> video(4, 0.5f), audio(8, -0.5f);
  for (const char* name : {"scalar", "neon", "avx2", "best"}) {
    CHECK(edgeaff::SetInstructionSetLimit(name));
    std::vector<std::vector<float>> rows;
    for (int tick = 0; tick < 5; ++tick) {
      std::vector<const float*> before(static_cast<size_t>(sizes.ticks) - 1, nullptr);
      for (size_t i = 0; i < before.size() && i < rows.size(); ++i)
        before[before.size() - 1 - i] = rows[rows.size() - 1 - i].data();
      std::vector<float> row(static_cast<size_t>(model.row_floats()));
      float values[2];
      model.Step(before.data(), tick == 1 ? nullptr : video.data(), tick == 2 ? nullptr : audio.data(), 1 + tick % 2,
                 row.data(), values);
      CHECK(IsValue(values[0]) && IsValue(values[1]));
      rows.push_back(row);
    }
  }
}

}  // namespace

int main() {
  TestStep();
  TestWindow();
  CHECK(edgeaff::SetInstructionSetLimit("best"));
  std::puts("packed steps refuse sizes out of range and run");
  return 0;
}
