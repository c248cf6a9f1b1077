// The int8 networks: every instruction set gives the bytes of the scalar one, in a workspace exactly as large as
// stated, and nothing is allocated after construction.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <vector>

#include "check.h"
#include "edgeaff/conv_net.h"
#include "edgeaff/cpu_features.h"

namespace {

long g_allocations = 0;

uint32_t Random() {
  static uint32_t state = 1;
  return state = state * 1664525u + 1013904223u;
}

// A network and its arrays, which only the constructor reads.
struct Made {
  std::vector<edgeaff::NetTensor> tensors;
  std::vector<edgeaff::NetStep> steps;
  std::vector<std::vector<int8_t>> weights;
  std::vector<std::vector<int32_t>> starts;
  std::vector<std::vector<float>> floats;

  edgeaff::NetStep& Add(edgeaff::NetStepKind kind, int input, int output, int outputs, int inputs, int scales,
                        float scale) {
    weights.emplace_back(static_cast<size_t>(outputs) * inputs);
    for (int8_t& weight : weights.back()) weight = static_cast<int8_t>(static_cast<int>((Random() >> 16) % 129) - 64);
    starts.emplace_back(static_cast<size_t>(outputs));
    for (int32_t& start : starts.back()) start = static_cast<int32_t>((Random() >> 16) % 4000) - 2000;
    floats.emplace_back(static_cast<size_t>(2 * scales), scale);
    edgeaff::NetStep step;
    step.kind = kind, step.input = input, step.output = output;
    step.weight = weights.back().data(), step.start = starts.back().data();
    step.scale = floats.back().data(), step.offset = floats.back().data() + scales;
    steps.push_back(step);
    return steps.back();
  }

  int Convolution(int input, int channels, int kernel, int stride, int second = -1) {
    const edgeaff::NetTensor in = tensors[static_cast<size_t>(input)];
    tensors.push_back({in.divisor * stride, channels, 0});
    const int output = static_cast<int>(tensors.size()) - 1;
    edgeaff::NetStep& step = Add(edgeaff::NetStepKind::kConvolution, input, output, channels,
                                 kernel * kernel * in.channels, channels, 0.0007f);
    step.kernel = kernel, step.stride = stride, step.second = second;
    if (second >= 0) {
      step.zero = 120, step.own = 0.6f, step.factor = 0.5f, step.constant = 2.0f;
      step.second_shift = tensors[static_cast<size_t>(second)].divisor == 2 * in.divisor * stride;
      step.second_is_first = channels % 32 == 0;
    }
    return output;
  }
};

Made Detector() {
  Made made;
  made.weights.reserve(32), made.starts.reserve(32), made.floats.reserve(32);
  made.tensors.push_back({2, 16, 0});
  made.Add(edgeaff::NetStepKind::kImage, -1, 0, 32, 27, 16, 3e-5f);
  int x = made.Convolution(0, 48, 3, 2);
  x = made.Convolution(made.Convolution(x, 48, 3, 1), 48, 3, 1, x);
  int y = made.Convolution(x, 112, 3, 2);
  y = made.Convolution(made.Convolution(y, 112, 3, 1), 112, 3, 1, y);
  const int top = made.Convolution(y, 32, 1, 1), merged = made.Convolution(x, 32, 1, 1, top);
  made.Add(edgeaff::NetStepKind::kMap, top, 0, 48, 32, 16, 1e-7f);
  made.Add(edgeaff::NetStepKind::kMap, merged, 1, 48, 32, 16, 1e-7f);
  return made;
}

Made Encoder() {
  static const uint8_t luma[] = {19, 38, 7};
  static const float front[] = {26.01f, 0.05f};
  Made made;
  made.weights.reserve(32), made.starts.reserve(32), made.floats.reserve(32);
  made.tensors.push_back({2, 1, 123});
  edgeaff::NetStep& step = made.Add(edgeaff::NetStepKind::kLuminance, -1, 0, 1, 1, 1, 0.0f);
  step.luma = luma, step.offset = front, step.zero = 123;
  const int x = made.Convolution(0, 32, 3, 1);
  const int y = made.Convolution(x, 80, 3, 2);
  made.Add(edgeaff::NetStepKind::kMean, made.Convolution(made.Convolution(y, 80, 3, 1), 80, 3, 1, y), 0, 1, 1, 80,
           0.01f);
  return made;
}

std::vector<float> RunOnce(const Made& made, int height, int width, const std::vector<uint8_t>& input, bool strips) {
  const edgeaff::ConvNet net(made.tensors, made.steps, strips);
  const int64_t bytes = net.WorkspaceBytes(height, width);
  CHECK(bytes > 0);
  // Exactly as large as stated: the sanitizers see every byte outside.
  char* const workspace = static_cast<char*>(std::aligned_alloc(64, static_cast<size_t>(bytes)));
  std::vector<std::vector<float>> outputs;
  std::vector<float*> pointers;
  for (int i = 0; i < net.outputs(); ++i) {
    const edgeaff::ConvNet::Shape shape = net.OutputShape(i, height, width);
    outputs.emplace_back(static_cast<size_t>(shape.rows) * shape.columns * shape.values);
  }
  for (std::vector<float>& output : outputs) pointers.push_back(output.data());
  const long before = g_allocations;
  net.Prepare(height, width, workspace);
  for (int i = 0; i < 2; ++i) net.Run(input.data(), height, width, workspace, pointers.data());
  CHECK(g_allocations == before);
  std::free(workspace);
  std::vector<float> all;
  for (const std::vector<float>& output : outputs) all.insert(all.end(), output.begin(), output.end());
  return all;
}

void TestBytes(const Made& made) {
  for (const int width : {32, 40, 96}) {
    const int height = 32;
    std::vector<uint8_t> input(static_cast<size_t>(3) * height * width);
    for (uint8_t& byte : input) byte = static_cast<uint8_t>(Random() >> 24);
    CHECK(edgeaff::SetInstructionSetLimit("scalar"));
    const std::vector<float> expected = RunOnce(made, height, width, input, true);
    float largest = 0;
    for (const float value : expected) largest = value > largest ? value : largest;
    CHECK(largest > 0);
    for (const char* name : {"scalar", "neon", "neondot", "avx2", "best"}) {
      CHECK(edgeaff::SetInstructionSetLimit(name));
      for (const bool strips : {false, true}) CHECK(RunOnce(made, height, width, input, strips) == expected);
    }
  }
}

void TestRefusals() {
  const Made good = Detector();
  const edgeaff::ConvNet net(good.tensors, good.steps);
  for (const int size : {0, -8, 12, 1 << 20})
    CHECK(net.WorkspaceBytes(size, 32) == 0 && net.WorkspaceBytes(32, size) == 0);
  Made bad = Detector();
  bad.steps[3].second = 99;
  bool refused = false;
  try {
    const edgeaff::ConvNet other(bad.tensors, bad.steps);
  } catch (const std::invalid_argument&) { refused = true; }
  CHECK(refused);
}

}  // namespace

void* operator new(size_t size) {
  ++g_allocations;
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

int main() {
  TestBytes(Detector());
  TestBytes(Encoder());
  TestRefusals();
  std::puts("nets: all checks hold");
}
