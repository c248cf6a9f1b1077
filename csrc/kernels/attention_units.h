// What AttentionTile multiplies: rows of fp32 or pairs of bf16 as 32-bit units, and the tile of sums that stays in registers.
#pragma once
#include <cstdint>

namespace edgeaff {
namespace {

constexpr float kLog2E = 1.44269504088896340736f;
constexpr float kMinusInfinity = -__builtin_inff();

inline uint16_t RoundToBf16(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

// fp32 products. T is what lies in memory: float, or bf16 bits that are widened while packing.
template <class Vec, class T>
struct FloatUnits {
  using V = Vec;
  using Element = T;
  static constexpr int kPack = 1;
  static typename V::Reg MulAdd(typename V::Reg acc, typename V::Reg a, typename V::Reg b) { return V::Fma(a, b, acc); }

  // A row as units: the row itself, or its widened copy in `slot`.
  static const float* UnitRow(const float* row, int64_t, float*) { return row; }
  static const float* UnitRow(const uint16_t* row, int64_t count, float* slot) {
    for (int64_t i = 0; i < count; i += V::kWidth) V::Store(slot + i, V::LoadBf16(row + i));
    return slot;
  }
  static void StoreProbability(float* row, int64_t j, typename V::Reg p) { V::Store(row + j, p); }
  // `count` channels of kPack rows of values; a null row is all zero.
  static void PackValues(const T* const* rows, int64_t count, float* out) {
    if (rows[0] == nullptr) {
      for (int64_t i = 0; i < count; i += V::kWidth) V::Store(out + i, V::Zero());
      return;
    }
    const float* units = UnitRow(rows[0], count, out);
    if (units == out) return;
    for (int64_t i = 0; i < count; i += V::kWidth) V::Store(out + i, V::Load(units + i));
  }
};

// acc[r][c] = sum over k in [0, n) of a[r][k] * b[k][c]. a_stride in bytes, b_stride in floats. A `copy` (C vectors a row) gets
// b as it passes by.
template <class M, int R, int C, bool kCopy = false>
inline __attribute__((always_inline)) void MultiplyTile(const char* a, int64_t a_stride, const float* b,
                                                        int64_t b_stride, int64_t n, typename M::V::Reg (&acc)[R][C],
                                                        float* copy = nullptr) {
  using V = typename M::V;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) acc[r][c] = V::Zero();
  }
  for (int64_t k = 0; k < n; ++k, a += 4, b += b_stride) {
    typename V::Reg column[C];
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) column[c] = V::Load(b + c * V::kWidth);
    if constexpr (kCopy) {
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) V::Store(copy + (k * C + c) * V::kWidth, column[c]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const typename V::Reg row = V::Broadcast(a + r * a_stride);
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) acc[r][c] = M::MulAdd(acc[r][c], row, column[c]);
    }
  }
}

}  // namespace
}  // namespace edgeaff
