// The most multiply-adds that one core does: a loop over registers alone. The roof in benchmarks/kernels.py.
#pragma once
#include <cstdint>

namespace edgeaff {

// Runs `repeats` rounds and returns the floating point operations done (two per multiply-add).
int64_t RoofProbe(int64_t repeats);

using RoofKernel = int64_t (*)(int64_t repeats);
extern const RoofKernel kRoofScalar;
#if defined(__x86_64__)
extern const RoofKernel kRoofAvx2, kRoofAvx512;
#elif defined(__aarch64__)
extern const RoofKernel kRoofNeon;
#endif

}  // namespace edgeaff
