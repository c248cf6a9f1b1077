// The moments of a row for any instruction set: what the layer norms of affect_step_tile.h and window_step_tile.h share.
#pragma once
#include <cstdint>

namespace edgeaff {
namespace {

// x normalized is (x + minus_mean) * scale, scale = 1 / sqrt(variance + 1e-5).
template <class V>
struct Moments {
  typename V::Reg minus_mean, scale;

  // x (count), count a multiple of V::kWidth; total: the sum of x, lane by lane.
  Moments(const float* x, int64_t count, typename V::Reg total)
      : minus_mean(V::Set(-V::ReduceAdd(total) / static_cast<float>(count))) {
    typename V::Reg squares = V::Zero();
    for (int64_t i = 0; i < count; i += V::kWidth) {
      const typename V::Reg centered = V::Add(V::Load(x + i), minus_mean);
      squares = V::Fma(centered, centered, squares);
    }
    scale = V::Set(1.0f / __builtin_sqrtf(V::ReduceAdd(squares) / static_cast<float>(count) + 1e-5f));
  }

  typename V::Reg Apply(const float* x) const { return V::Mul(V::Add(V::Load(x), minus_mean), scale); }
};

}  // namespace
}  // namespace edgeaff
