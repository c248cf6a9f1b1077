// Logarithm and exponential of vectors of doubles, error below 1e-15 relative.
#pragma once
#include "lld/simd.h"

namespace edgeaff {
namespace EDGEAFF_SIMD_NAMESPACE {

typedef unsigned long long U64 __attribute__((vector_size(EDGEAFF_SIMD_BYTES)));

static constexpr double kLn2High = 6.93147180369123816490e-01;  // its low 20 bits are zero: n * kLn2High is exact
static constexpr double kLn2Low = 1.90821492927058770002e-10;

// x = 2^e m, m in [sqrt(1/2), sqrt(2)); ln m = 2 (s + s^3/3 + s^5/5 + ...), s = (m-1)/(m+1), |s| <= 0.172.
static inline F64 Log(F64 x) {
  const U64 bits = (U64)x;
  // Adding this makes mantissas from sqrt(2) on carry into the exponent.
  const U64 shifted = bits + (0x3ff0000000000000ULL - 0x3fe6a09e667f3bcdULL);
  const U64 biased = shifted >> 52;
  const F64 exponent = (F64)(biased | 0x4330000000000000ULL) - (0x1p52 + 1023.0);
  const F64 m = (F64)((shifted & 0x000fffffffffffffULL) + 0x3fe6a09e667f3bcdULL);
  const F64 s = (m - 1.0) / (m + 1.0);
  const F64 z = s * s;
  F64 series = F64{} + 1.0 / 21;
  series = MulAdd(series, z, F64{} + 1.0 / 19);
  series = MulAdd(series, z, F64{} + 1.0 / 17);
  series = MulAdd(series, z, F64{} + 1.0 / 15);
  series = MulAdd(series, z, F64{} + 1.0 / 13);
  series = MulAdd(series, z, F64{} + 1.0 / 11);
  series = MulAdd(series, z, F64{} + 1.0 / 9);
  series = MulAdd(series, z, F64{} + 1.0 / 7);
  series = MulAdd(series, z, F64{} + 1.0 / 5);
  series = MulAdd(series, z, F64{} + 1.0 / 3);
  const F64 tail = (s + s) * z * series;
  return exponent * kLn2High + ((s + s) + (tail + exponent * kLn2Low));
}

// x = n ln 2 + r, |r| <= 0.347; Taylor series of e^r to r^13; 2^n from its bits.
static inline F64 Exp(F64 x) {
  // Adding this rounds to the nearest whole number, which then stands in the low bits.
  const F64 magic = F64{} + 0x1.8p52;
  const F64 rounded = MulAdd(x, F64{} + 1.44269504088896340736, magic);
  const F64 n = rounded - magic;
  const F64 r = (x - n * kLn2High) - n * kLn2Low;
  F64 series = F64{} + 1.0 / 6227020800.0;
  series = MulAdd(series, r, F64{} + 1.0 / 479001600.0);
  series = MulAdd(series, r, F64{} + 1.0 / 39916800.0);
  series = MulAdd(series, r, F64{} + 1.0 / 3628800.0);
  series = MulAdd(series, r, F64{} + 1.0 / 362880.0);
  series = MulAdd(series, r, F64{} + 1.0 / 40320.0);
  series = MulAdd(series, r, F64{} + 1.0 / 5040.0);
  series = MulAdd(series, r, F64{} + 1.0 / 720.0);
  series = MulAdd(series, r, F64{} + 1.0 / 120.0);
  series = MulAdd(series, r, F64{} + 1.0 / 24.0);
  series = MulAdd(series, r, F64{} + 1.0 / 6.0);
  series = MulAdd(series, r, F64{} + 0.5);
  series = MulAdd(series, r, F64{} + 1.0);
  series = MulAdd(series, r, F64{} + 1.0);
  const U64 power = ((U64)rounded - (U64)magic + 1023) << 52;
  return series * (F64)power;
}

// The tail of an array goes through a padded vector, so that a value never depends on its place.
template <typename Function>
static inline void Map(const double* x, double* out, int n, Function function) {
  int i = 0;
  for (; i + kLanes64 <= n; i += kLanes64) Store(out + i, function(Load(x + i)));
  if (i == n) return;
  double rest[kLanes64];
  for (int k = 0; k < kLanes64; ++k) rest[k] = i + k < n ? x[i + k] : 1.0;
  Store(rest, function(Load(rest)));
  for (int k = 0; i + k < n; ++k) out[i + k] = rest[k];
}

static void LogF64(const double* x, double* out, int n) {
  Map(x, out, n, [](F64 v) { return Log(v); });
}
static void ExpF64(const double* x, double* out, int n) {
  Map(x, out, n, [](F64 v) { return Exp(v); });
}

}  // namespace EDGEAFF_SIMD_NAMESPACE
}  // namespace edgeaff
