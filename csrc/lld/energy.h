// Energy and zero crossings of a frame.
#pragma once
#include "lld/vector_ops.h"

namespace edgeaff::lld {

// sqrt(mean x^2) of n samples.
float RootMeanSquare(const VectorOps& ops, const float* samples, int n);

// Share of the 960 samples of a 60 ms frame (not windowed) where the sign changes; the count is exact.
float ZeroCrossingRate(const VectorOps& ops, const float* frame);

}  // namespace edgeaff::lld
