// The loop of roof_probe.h for any instruction set: included by roof_probe*.cc alone.
#pragma once
#include "edgeaff/roof_probe.h"

namespace edgeaff {
namespace {

// 12 independent sums hide the latency of a multiply-add (4 cycles, two at a time) and fit 16 registers.
template <class V>
int64_t ProbeRoof(int64_t repeats) {
  constexpr int kSums = 12, kInner = 1000;
  typename V::Reg sums[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = V::Set(static_cast<float>(i));
  const typename V::Reg factor = V::Set(0.999f), add = V::Set(1e-3f);
  for (int64_t r = 0; r < repeats * kInner; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) sums[i] = V::Fma(sums[i], factor, add);
  }
  typename V::Reg total = V::Zero();
  for (int i = 0; i < kSums; ++i) total = V::Add(total, sums[i]);
  volatile float keep = V::ReduceAdd(total);
  (void)keep;
  return repeats * kInner * kSums * V::kWidth * 2;
}

}  // namespace
}  // namespace edgeaff
