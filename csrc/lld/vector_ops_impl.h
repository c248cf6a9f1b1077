// The functions of VectorOps, written once over simd.h; each vector_ops_*.cc compiles them for its instruction set.
#pragma once
#include "lld/simd.h"
#include "lld/vector_ops.h"

namespace edgeaff {
namespace EDGEAFF_SIMD_NAMESPACE {

// Four partial sums hide the latency of the multiply-add.
static float DotF32(const float* a, const float* b, int n) {
  F32 sum0 = {}, sum1 = {}, sum2 = {}, sum3 = {};
  int i = 0;
  for (; i + 4 * kLanes32 <= n; i += 4 * kLanes32) {
    sum0 = MulAdd(Load(a + i), Load(b + i), sum0);
    sum1 = MulAdd(Load(a + i + kLanes32), Load(b + i + kLanes32), sum1);
    sum2 = MulAdd(Load(a + i + 2 * kLanes32), Load(b + i + 2 * kLanes32), sum2);
    sum3 = MulAdd(Load(a + i + 3 * kLanes32), Load(b + i + 3 * kLanes32), sum3);
  }
  for (; i + kLanes32 <= n; i += kLanes32) sum0 = MulAdd(Load(a + i), Load(b + i), sum0);
  float sum = SumLanes((sum0 + sum1) + (sum2 + sum3));
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

static constexpr VectorOps kOps = {DotF32};

}  // namespace EDGEAFF_SIMD_NAMESPACE
}  // namespace edgeaff
