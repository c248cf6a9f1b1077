// Runs a packed network on one input: `net_bytes INSTRUCTION_SET HEIGHT WIDTH`. Standard input: seven arrays in the
// order of edgeaff/ops/face_nets.py, each behind its size in elements (int64), then the input bytes. Standard output:
// every tensor after its step, then every output.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "check.h"
#include "edgeaff/conv_net.h"
#include "edgeaff/cpu_features.h"

namespace {

template <typename T>
std::vector<T> Read() {
  int64_t count = 0;
  CHECK(std::fread(&count, sizeof count, 1, stdin) == 1);
  std::vector<T> array(static_cast<size_t>(count));
  CHECK(std::fread(array.data(), sizeof(T), array.size(), stdin) == array.size());
  return array;
}

template <typename T>
edgeaff::PackedNet::Array<T> View(const std::vector<T>& array) {
  return {array.data(), static_cast<int64_t>(array.size())};
}

}  // namespace

int main(int count, char** arguments) {
  CHECK(count == 4 && edgeaff::SetInstructionSetLimit(arguments[1]));
  const int height = std::atoi(arguments[2]), width = std::atoi(arguments[3]);
  const auto tensors = Read<int32_t>(), steps = Read<int32_t>();
  const auto factors = Read<float>();
  const auto weights = Read<int8_t>();
  const auto starts = Read<int32_t>();
  const auto floats = Read<float>();
  const auto luma = Read<uint8_t>();
  const auto input = Read<uint8_t>();
  CHECK(input.size() == static_cast<size_t>(3) * height * width);
  const edgeaff::ConvNet net(
      {View(tensors), View(steps), View(factors), View(weights), View(starts), View(floats), View(luma)}, false);
  const int64_t bytes = net.WorkspaceBytes(height, width);
  CHECK(bytes > 0);
  void* const workspace = std::aligned_alloc(64, static_cast<size_t>(bytes));
  std::vector<std::vector<float>> outputs;
  std::vector<float*> pointers;
  for (int i = 0; i < net.outputs(); ++i) {
    const edgeaff::ConvNet::Shape shape = net.OutputShape(i, height, width);
    outputs.emplace_back(static_cast<size_t>(shape.rows) * shape.columns * shape.values);
  }
  for (std::vector<float>& output : outputs) pointers.push_back(output.data());
  net.Prepare(height, width, workspace);
  for (int i = 0; i < net.steps(); ++i) {
    net.RunSteps(i, i + 1, input.data(), height, width, workspace, pointers.data());
    const edgeaff::NetStep& step = net.step(i);
    if (step.kind == edgeaff::NetStepKind::kMap || step.kind == edgeaff::NetStepKind::kMean) continue;
    const edgeaff::NetTensor& tensor = net.tensor(step.output);
    ptrdiff_t row = 0;
    const uint8_t* const from = net.TensorData(step.output, height, width, workspace, &row);
    for (int y = 0; y < height / tensor.divisor; ++y) {
      std::fwrite(from + y * row, 1, static_cast<size_t>(width / tensor.divisor) * static_cast<size_t>(tensor.channels),
                  stdout);
    }
  }
  for (const std::vector<float>& output : outputs) std::fwrite(output.data(), sizeof(float), output.size(), stdout);
  std::free(workspace);
}
