// From the flat arrays of a packed network to its steps.
#include <stdexcept>
#include <string>
#include <utility>

#include "edgeaff/conv_net.h"
#include "nets/convolve.h"

namespace edgeaff {
namespace {

constexpr int kTensorFields = 3, kStepFields = 9, kFactors = 3;
constexpr int64_t kMostRows = 256;
constexpr int kMostKernel = 3, kMostChannels = 1024;

// Hands out an array piece by piece.
template <typename T>
class Reader {
 public:
  Reader(const PackedNet::Array<T>& array, const char* name) : array_(array), name_(name) {}

  const T* Take(int64_t count) {
    if (count > array_.size - at_) throw std::invalid_argument(std::string(name_) + " are fewer than the steps need");
    const T* const from = array_.data + at_;
    at_ += count;
    return from;
  }

  void RequireEnd() const {
    if (at_ != array_.size) throw std::invalid_argument(std::string(name_) + " are more than the steps need");
  }

 private:
  PackedNet::Array<T> array_;
  const char* name_;
  int64_t at_ = 0;
};

std::vector<NetTensor> Tensors(const PackedNet& packed) {
  const int64_t count = packed.tensors.size / kTensorFields;
  if (count > kMostRows || packed.tensors.size % kTensorFields != 0)
    throw std::invalid_argument("tensors must be at most 256 rows of 3");
  std::vector<NetTensor> tensors;
  for (const int32_t* row = packed.tensors.data; row != packed.tensors.data + packed.tensors.size;
       row += kTensorFields) {
    if (row[1] < 1 || row[1] > kMostChannels) throw std::invalid_argument("tensors must have 1 to 1024 channels");
    tensors.push_back({row[0], row[1], row[2]});
  }
  return tensors;
}

std::vector<NetStep> Steps(const PackedNet& packed, const std::vector<NetTensor>& tensors) {
  const int64_t count = packed.steps.size / kStepFields;
  if (count > kMostRows || packed.steps.size % kStepFields != 0 || packed.factors.size != count * kFactors) {
    throw std::invalid_argument("steps must be at most 256 rows of 9, with 3 factors each");
  }
  const auto channels = [&](int tensor) {
    if (tensor < 0 || tensor >= static_cast<int>(tensors.size()))
      throw std::invalid_argument("a step names a tensor that is not there");
    return tensors[static_cast<size_t>(tensor)].channels;
  };
  Reader<int8_t> weights(packed.weights, "weights");
  Reader<int32_t> starts(packed.starts, "starts");
  Reader<float> floats(packed.floats, "floats");
  Reader<uint8_t> luma(packed.luma, "luma weights");
  std::vector<NetStep> steps;
  for (int64_t i = 0; i < count; ++i) {
    const int32_t* const row = packed.steps.data + i * kStepFields;
    const float* const factors = packed.factors.data + i * kFactors;
    NetStep step;
    step.kind = static_cast<NetStepKind>(row[0]);
    step.input = row[1], step.output = row[2], step.kernel = row[3], step.stride = row[4], step.zero = row[5];
    step.second = row[6], step.second_shift = row[7], step.second_is_first = row[8];
    step.own = factors[0], step.factor = factors[1], step.constant = factors[2];
    if (step.kernel < 1 || step.kernel > kMostKernel) throw std::invalid_argument("kernels must be 1 to 3 wide");
    const auto take = [&](int outputs, int inputs) {
      step.weight = weights.Take(static_cast<int64_t>(outputs) * inputs);
      step.start = starts.Take(outputs);
    };
    switch (step.kind) {
      case NetStepKind::kImage:
        take(2 * nets::kGroup, nets::kImageTaps);
        step.scale = floats.Take(nets::kGroup);
        break;
      case NetStepKind::kConvolution:
        take(channels(step.output), step.kernel * step.kernel * channels(step.input));
        step.scale = floats.Take(channels(step.output));
        break;
      case NetStepKind::kMap:
        take(3 * nets::kGroup, channels(step.input));
        step.scale = floats.Take(nets::kGroup);
        step.offset = floats.Take(nets::kGroup);
        break;
      case NetStepKind::kLuminance:
        step.offset = floats.Take(2);
        step.luma = luma.Take(3);
        break;
      case NetStepKind::kMean:
        step.scale = floats.Take(channels(step.input));
        step.offset = floats.Take(channels(step.input));
        break;
      default: throw std::invalid_argument("a step has an unknown kind");
    }
    steps.push_back(step);
  }
  weights.RequireEnd(), starts.RequireEnd(), floats.RequireEnd(), luma.RequireEnd();
  return steps;
}

}  // namespace

ConvNet::ConvNet(const PackedNet& packed, bool strips)
    : ConvNet(Tensors(packed), Steps(packed, Tensors(packed)), strips) {}

}  // namespace edgeaff
