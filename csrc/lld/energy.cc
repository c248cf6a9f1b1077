#include "lld/energy.h"

#include <cmath>

#include "lld/constants.h"

namespace edgeaff::lld {

float RootMeanSquare(const VectorOps& ops, const float* samples, int n) {
  return static_cast<float>(std::sqrt(ops.square_sum(samples, n) / n));
}

float ZeroCrossingRate(const VectorOps& ops, const float* frame) {
  return static_cast<float>(static_cast<double>(ops.zero_crossings(frame, kLongWindow)) / kLongWindow);
}

}  // namespace edgeaff::lld
