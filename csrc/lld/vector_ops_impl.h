// The functions of VectorOps, written once over simd.h; each vector_ops_*.cc compiles them for its instruction set.
// Plain loops without a sum are left to the compiler's vectorizer.
#pragma once
#include "lld/fft_impl.h"
#include "lld/math_impl.h"
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

static double DotF64(const double* a, const double* b, int n) {
  F64 sum0 = {}, sum1 = {};
  int i = 0;
  for (; i + 2 * kLanes64 <= n; i += 2 * kLanes64) {
    sum0 = MulAdd(Load(a + i), Load(b + i), sum0);
    sum1 = MulAdd(Load(a + i + kLanes64), Load(b + i + kLanes64), sum1);
  }
  for (; i + kLanes64 <= n; i += kLanes64) sum0 = MulAdd(Load(a + i), Load(b + i), sum0);
  double sum = SumLanes(sum0 + sum1);
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

static inline F64 Widen(const float* source) {
  F64 wide;
  for (int k = 0; k < kLanes64; ++k) wide[k] = source[k];
  return wide;
}

static double SquareSum(const float* a, int n) {
  F64 sum = {};
  int i = 0;
  for (; i + kLanes64 <= n; i += kLanes64) {
    const F64 x = Widen(a + i);
    sum = MulAdd(x, x, sum);
  }
  double total = SumLanes(sum);
  for (; i < n; ++i) total += static_cast<double>(a[i]) * a[i];
  return total;
}

static double SquaredDifference(const float* a, const float* b, int n) {
  F64 sum = {};
  int i = 0;
  for (; i + kLanes64 <= n; i += kLanes64) {
    const F64 x = Widen(a + i) - Widen(b + i);
    sum = MulAdd(x, x, sum);
  }
  double total = SumLanes(sum);
  for (; i < n; ++i) total += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
  return total;
}

// One lag: whole vectors up to the lag in one partial sum, then the rest in order.
static inline double FinishLag(const double* x, int lag, int i, F64 sum) {
  for (; i + kLanes64 <= lag; i += kLanes64) sum = MulAdd(Load(x + i), Load(x + i + lag), sum);
  double total = SumLanes(sum);
  for (; i < lag; ++i) total += x[i] * x[i + lag];
  return total;
}

// Four neighboring lags at a time share the loads of x[i]. The bits for a lag must not depend on which lags are asked
// for beside it (voice_quality.cc states why), so each is finished as if it stood alone.
static void LagDots(const double* x, int low, int high, double* out) {
  int lag = low;
  for (; lag + 3 <= high; lag += 4) {
    F64 sum0 = {}, sum1 = {}, sum2 = {}, sum3 = {};
    int i = 0;
    for (; i + kLanes64 <= lag; i += kLanes64) {
      const F64 v = Load(x + i);
      const double* y = x + i + lag;
      sum0 = MulAdd(v, Load(y), sum0);
      sum1 = MulAdd(v, Load(y + 1), sum1);
      sum2 = MulAdd(v, Load(y + 2), sum2);
      sum3 = MulAdd(v, Load(y + 3), sum3);
    }
    double* four = out + lag - low;
    four[0] = FinishLag(x, lag, i, sum0);
    four[1] = FinishLag(x, lag + 1, i, sum1);
    four[2] = FinishLag(x, lag + 2, i, sum2);
    four[3] = FinishLag(x, lag + 3, i, sum3);
  }
  for (; lag <= high; ++lag) out[lag - low] = FinishLag(x, lag, 0, F64{});
}

static void Correlations(const double* lag_dots, const double* sums, const double* squares, const int* changes, int low,
                         int high, double* out) {
  const double nan = __builtin_nan("");
  for (int k = 0; k <= high - low; ++k) {
    const int lag = low + k;
    const double first = sums[lag], second = sums[2 * lag] - sums[lag];
    const double length = lag;
    const double covariance = lag_dots[k] - first * second / length;
    const double variance_first = squares[lag] - first * first / length;
    const double variance_second = squares[2 * lag] - squares[lag] - second * second / length;
    const double product = variance_first * variance_second;
    const int first_varies = changes[lag - 1] > 0;
    const int second_varies = changes[2 * lag - 1] > changes[lag];
    const double root = __builtin_sqrt(product > 0.0 ? product : 1.0);
    out[k] = (first_varies & second_varies & (product > 0.0)) ? covariance / root : nan;
  }
}

static float PeakToPeak(const float* x, int n) {
  float low = x[0], high = x[0];
  int i = 0;
  if (n >= kLanes32) {
    F32 lows = Load(x), highs = lows;
    for (i = kLanes32; i + kLanes32 <= n; i += kLanes32) {
      const F32 v = Load(x + i);
      lows = v < lows ? v : lows;
      highs = v > highs ? v : highs;
    }
    for (int k = 0; k < kLanes32; ++k) {
      low = lows[k] < low ? lows[k] : low;
      high = highs[k] > high ? highs[k] : high;
    }
  }
  for (; i < n; ++i) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  return high - low;
}

static double EntropySum(const double* a, double floor, double scale, int n) {
  F64 sum = {};
  int i = 0;
  const F64 floors = F64{} + floor;
  for (; i + kLanes64 <= n; i += kLanes64) {
    const F64 raw = Load(a + i);
    const F64 p = (raw > floors ? raw : floors) * scale;
    sum = MulAdd(p, Log(p), sum);
  }
  double total = SumLanes(sum);
  for (; i < n; ++i) {
    const double p = (a[i] > floor ? a[i] : floor) * scale;
    total += p * Log(F64{} + p)[0];
  }
  return total;
}

static void CentralMoments(const double* a, const double* f, double center, int n, double* sums) {
  F64 second = {}, third = {}, fourth = {};
  int i = 0;
  for (; i + kLanes64 <= n; i += kLanes64) {
    const F64 d = Load(f + i) - center;
    const F64 d2a = d * d * Load(a + i);
    second += d2a;
    third = MulAdd(d, d2a, third);
    fourth = MulAdd(d * d, d2a, fourth);
  }
  sums[0] = SumLanes(second);
  sums[1] = SumLanes(third);
  sums[2] = SumLanes(fourth);
  for (; i < n; ++i) {
    const double d = f[i] - center, d2a = d * d * a[i];
    sums[0] += d2a;
    sums[1] += d * d2a;
    sums[2] += d * d * d2a;
  }
}

static void SolveRecurrence(const Recurrence& recurrence, double* x) {
  constexpr int kBefore = 8;  // zeros before the first value
  double first[kBefore + Recurrence::kSize], second[kBefore + Recurrence::kSize];
  for (int i = 0; i < kBefore; ++i) first[i] = second[i] = 0.0;
  double* a = first + kBefore;
  double* b = second + kBefore;
  for (int i = 0; i < Recurrence::kSize; i += kLanes64) Store(a + i, Load(x + i));
  const auto pass = [](const double* step, int back, const double* from, double* to) {
    for (int i = 0; i < Recurrence::kSize; i += kLanes64) {
      Store(to + i, MulAdd(Load(step + i), Load(from + i - back), Load(from + i)));
    }
  };
  pass(recurrence.step1, 1, a, b);
  pass(recurrence.step2, 2, b, a);
  pass(recurrence.step4, 4, a, b);
  F64 last[8 / kLanes64] = {};
  for (int i = 0; i < Recurrence::kSize; i += 8) {
    for (int v = 0; v < 8 / kLanes64; ++v) {
      const int at = i + v * kLanes64;
      last[v] = MulAdd(Load(recurrence.step8 + at), last[v], Load(b + at));
      Store(x + at, last[v]);
    }
  }
}

static void KeepNear(const float* a, const uint8_t* flags, int n, double* out) {
  for (int i = 0; i < n; ++i) {
    const int near = flags[i - 2] | flags[i - 1] | flags[i] | flags[i + 1] | flags[i + 2];
    out[i] = static_cast<double>(a[i]) * static_cast<double>(near);  // flags are 0 or 1; a branch would often be wrong
  }
}

static void SplinePoints(const int* segment, const double* const* weights, const double* scale, const double* a,
                         const double* b, int last, int n, float* out) {
  const double* from_end = b + last - 1;
  for (int j = 0; j < n; ++j) {
    const int i = segment[j];
    const double y = weights[0][j] * a[i] + weights[1][j] * a[i + 1] + weights[2][j] * from_end[1 - i] +
                     weights[3][j] * from_end[-i];
    out[j] = static_cast<float>((y > 0.0 ? y : 0.0) * scale[j]);
  }
}

static void AddScaled(const float* a, float scale, int n, float* sum) {
  for (int i = 0; i < n; ++i) sum[i] += scale * a[i];
}

static int ZeroCrossings(const float* x, int n) {
  int count = 0;
  for (int i = 1; i < n - 1; ++i) {
    const int crosses = x[i - 1] * x[i] < 0.0f;
    const int touches = (x[i] == 0.0f) & (x[i - 1] * x[i + 1] <= 0.0f);
    count += crosses | touches;
  }
  return count;
}

static void PeakFlags(const float* a, int n, bool rise_only, uint8_t* flags) {
  if (n > 0) flags[0] = flags[n - 1] = 0;
  if (rise_only) {
    for (int i = 1; i < n - 1; ++i) flags[i] = (a[i] > a[i - 1]) & (a[i] >= a[i + 1]);
  } else {
    for (int i = 1; i < n - 1; ++i) flags[i] = (a[i] > a[i - 1]) & (a[i] > a[i + 1]);
  }
}

static void ExtremumFlags(const double* a, int n, uint8_t* flags) {
  for (int i = 0; i < n; ++i) flags[i] = 0;
  for (int i = 2; i < n - 2; ++i) {
    const int above = (a[i] > a[i - 2]) & (a[i] > a[i - 1]) & (a[i] > a[i + 1]) & (a[i] > a[i + 2]);
    const int below = (a[i] < a[i - 2]) & (a[i] < a[i - 1]) & (a[i] < a[i + 1]) & (a[i] < a[i + 2]);
    flags[i] = static_cast<uint8_t>(above | below);
  }
}

static constexpr VectorOps kOps = {DotF32,       DotF64,     SquareSum,      SquaredDifference, LagDots,
                                   Correlations, PeakToPeak, Magnitudes512,  Magnitudes1024,    LogF64,
                                   ExpF64,       EntropySum, CentralMoments, SolveRecurrence,   KeepNear,
                                   SplinePoints, AddScaled,  ZeroCrossings,  PeakFlags,         ExtremumFlags};

}  // namespace EDGEAFF_SIMD_NAMESPACE
}  // namespace edgeaff
