// The hot loops of this room, one table of functions per instruction set.
//
// A stream takes its table once, when it is made, so a later change of the limit (cpu_features.h) never changes a
// running stream. All functions are pure: no state, no allocation, thread-safe; pointers need no alignment; n >= 0.
// Sums run in several partial sums whose order is fixed per instruction set.
#pragma once
#include <cstdint>

namespace edgeaff {

// A first-order recurrence y[i] = x[i] + c[i] y[i-1] over kSize values, made parallel by doubling: after three passes
// each value holds what its last 8 inputs give, and only a chain of steps of 8 is left.
struct Recurrence {
  static constexpr int kSize = 520;  // 513 values, then zeros
  // Products of the last 1, 2, 4 and 8 coefficients at i; 0 where fewer exist.
  double step1[kSize], step2[kSize], step4[kSize], step8[kSize];

  explicit Recurrence(const double* coefficients, int n) {
    for (int i = 0; i < kSize; ++i) step1[i] = i > 0 && i < n ? coefficients[i] : 0.0;
    for (int i = 0; i < kSize; ++i) step2[i] = i > 1 ? step1[i] * step1[i - 1] : 0.0;
    for (int i = 0; i < kSize; ++i) step4[i] = i > 3 ? step2[i] * step2[i - 2] : 0.0;
    for (int i = 0; i < kSize; ++i) step8[i] = i > 7 ? step4[i] * step4[i - 4] : 0.0;
  }
};

struct VectorOps {
  // Sum of a[i] * b[i], i < n.
  float (*dot_f32)(const float* a, const float* b, int n);
  double (*dot_f64)(const double* a, const double* b, int n);
  // Sum of a[i]^2, and of (a[i] - b[i])^2, in double.
  double (*square_sum)(const float* a, int n);
  double (*squared_difference)(const float* a, const float* b, int n);
  // out[lag - low] = sum of x[i] * x[i + lag] over i < lag, for lag = low..high (low >= 1). The bits for a lag do not
  // depend on low and high.
  void (*lag_dots)(const double* x, int low, int high, double* out);
  // Correlation, means removed, of the first L samples with the L that follow, L = low..high, from the lag_dots and
  // from sums over the samples before each index (sums[0] = 0): of x, of x^2, and how often x changed. out[L - low];
  // NaN where one of the two stretches is constant.
  void (*correlations)(const double* lag_dots, const double* sums, const double* squares, const int* changes, int low,
                       int high, double* out);
  // Largest less smallest of n >= 1 samples, rounded to float32.
  float (*peak_to_peak)(const float* x, int n);
  // Magnitudes 0..256 of 512 real samples (and their squares, not rounded to float32), and 0..512 of 1024; inputs
  // already windowed and zero-padded.
  void (*magnitudes_512)(const float* samples, float* magnitudes, double* power);
  void (*magnitudes_1024)(const float* samples, float* magnitudes);
  // Natural logarithm of positive normal numbers, exponential for |x| < 700; error below 1e-15 relative.
  void (*log_f64)(const double* x, double* out, int n);
  void (*exp_f64)(const double* x, double* out, int n);
  // Sum of p log p with p = max(a[i], floor) * scale.
  double (*entropy_sum)(const double* a, double floor, double scale, int n);
  // sums[m] = sum of (f[i] - center)^(m + 2) a[i], m = 0, 1, 2.
  void (*central_moments)(const double* a, const double* f, double center, int n, double* sums);
  // Solves a recurrence in place: x (Recurrence::kSize) becomes y.
  void (*solve_recurrence)(const Recurrence& recurrence, double* x);
  // out[i] = a[i] where one of flags[i-2..i+2] is set, else 0. flags must be readable from -2 to n + 1.
  void (*keep_near)(const float* a, const uint8_t* flags, int n, double* out);
  // out[j] = max(w0[j] a[i] + w1[j] a[i+1] + w2[j] b[k+1] + w3[j] b[k], 0) * scale[j]; i = segment[j], k = last-1-i.
  void (*spline_points)(const int* segment, const double* const* weights, const double* scale, const double* a,
                        const double* b, int last, int n, float* out);
  // sum[i] += scale * a[i], each product and sum rounded to float32 (never fused).
  void (*add_scaled)(const float* a, float scale, int n, float* sum);
  // Pairs i = 1..n-2 with x[i-1] x[i] < 0, or x[i] = 0 and x[i-1] x[i+1] <= 0.
  int (*zero_crossings)(const float* x, int n);
  // flags[i] = 1 where a[i] > a[i-1] and a[i] > a[i+1] (rise_only: a[i] >= a[i+1]), i = 1..n-2; else 0.
  void (*peak_flags)(const float* a, int n, bool rise_only, uint8_t* flags);
  // flags[i] = 1 where a[i] is strictly above, or strictly below, both neighbors on both sides, i = 2..n-3; else 0.
  void (*extremum_flags)(const double* a, int n, uint8_t* flags);
};

// The table for BestInstructionSet() (cpu_features.h).
const VectorOps& BestVectorOps();

}  // namespace edgeaff
