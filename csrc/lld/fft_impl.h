// Real FFT of 512 and 1024 points, as vectors: every butterfly works on whole vectors of independent columns.
//
// A complex FFT of N = 16 C points (C = 16 or 32) in two steps, with n = C n1 + n2 and k = k1 + 16 k2:
//   1. for each column n2: 16-point FFT over n1, times W_N^(n2 k1)      (lanes are neighboring n2)
//   2. transpose to (n2, k1)
//   3. for each k1: C-point FFT over n2, result k1 + 16 k2 in order     (lanes are neighboring k1)
// 2N real samples enter as N complex ones (even samples real, odd ones imaginary), and are taken apart at the end.
// Choice: in double. Then only the peer's own float32 FFT contributes to the difference (MFCC 1e-5 instead of 1e-4).
#pragma once
#include "lld/fft_tables.h"
#include "lld/simd.h"

namespace edgeaff {
namespace EDGEAFF_SIMD_NAMESPACE {

static constexpr double kCos1 = 0.92387953251128675613;  // cos(pi/8)
static constexpr double kSin1 = 0.38268343236508977173;  // sin(pi/8)
static constexpr double kHalfRoot = 0.70710678118654752440;
static constexpr double kCos32[16] = {1.0,        0.98078528040323044913,  kCos1,  0.83146961230254523708,
                                      kHalfRoot,  0.55557023301960222474,  kSin1,  0.19509032201612826785,
                                      0.0,        -0.19509032201612826785, -kSin1, -0.55557023301960222474,
                                      -kHalfRoot, -0.83146961230254523708, -kCos1, -0.98078528040323044913};
static constexpr double kSin32[16] = {0.0,       0.19509032201612826785, kSin1, 0.55557023301960222474,
                                      kHalfRoot, 0.83146961230254523708, kCos1, 0.98078528040323044913,
                                      1.0,       0.98078528040323044913, kCos1, 0.83146961230254523708,
                                      kHalfRoot, 0.55557023301960222474, kSin1, 0.19509032201612826785};

// (re, im) *= cos - i sin
static inline void Rotate(F64& re, F64& im, F64 cosine, F64 sine) {
  const F64 turned = re * cosine + im * sine;
  im = im * cosine - re * sine;
  re = turned;
}

// Four-point FFT in place, natural order.
static inline void Fft4(F64& r0, F64& i0, F64& r1, F64& i1, F64& r2, F64& i2, F64& r3, F64& i3) {
  const F64 ar = r0 + r2, ai = i0 + i2, br = r0 - r2, bi = i0 - i2;
  const F64 cr = r1 + r3, ci = i1 + i3, dr = r1 - r3, di = i1 - i3;
  r0 = ar + cr;
  i0 = ai + ci;
  r1 = br + di;
  i1 = bi - dr;
  r2 = ar - cr;
  i2 = ai - ci;
  r3 = br - di;
  i3 = bi + dr;
}

// 16-point FFT: x[4 n1 + n2] -> four-point FFTs over n1, twiddles W_16^(n2 k1), the same over n2 -> out[k1 + 4 k2].
static inline __attribute__((always_inline)) void Fft16(F64* re, F64* im) {
#pragma GCC unroll 4
  for (int n2 = 0; n2 < 4; ++n2) {
    Fft4(re[n2], im[n2], re[n2 + 4], im[n2 + 4], re[n2 + 8], im[n2 + 8], re[n2 + 12], im[n2 + 12]);
#pragma GCC unroll 4
    for (int k1 = 1; k1 < 4; ++k1) {
      if (n2 == 0) continue;
      const int turn = 2 * n2 * k1;  // in 32nds
      const double cosine = turn < 16 ? kCos32[turn] : -kCos32[turn - 16];
      const double sine = turn < 16 ? kSin32[turn] : -kSin32[turn - 16];
      Rotate(re[n2 + 4 * k1], im[n2 + 4 * k1], F64{} + cosine, F64{} + sine);
    }
  }
  F64 out_re[16], out_im[16];
#pragma GCC unroll 4
  for (int k1 = 0; k1 < 4; ++k1) {
    F64* r = re + 4 * k1;
    F64* i = im + 4 * k1;
    Fft4(r[0], i[0], r[1], i[1], r[2], i[2], r[3], i[3]);
#pragma GCC unroll 4
    for (int k2 = 0; k2 < 4; ++k2) {
      out_re[k1 + 4 * k2] = r[k2];
      out_im[k1 + 4 * k2] = i[k2];
    }
  }
#pragma GCC unroll 16
  for (int k = 0; k < 16; ++k) {
    re[k] = out_re[k];
    im[k] = out_im[k];
  }
}

// Step 3 for C = 16 and C = 32: rows[n2 * 16 + lane] -> out[16 k2 + lane].
static inline void Columns16(const double* rows_re, const double* rows_im, double* out_re, double* out_im) {
  F64 re[16], im[16];
#pragma GCC unroll 16
  for (int n = 0; n < 16; ++n) {
    re[n] = Load(rows_re + 16 * n);
    im[n] = Load(rows_im + 16 * n);
  }
  Fft16(re, im);
#pragma GCC unroll 16
  for (int k = 0; k < 16; ++k) {
    Store(out_re + 16 * k, re[k]);
    Store(out_im + 16 * k, im[k]);
  }
}

static inline void Columns32(const double* rows_re, const double* rows_im, double* out_re, double* out_im) {
  F64 even_re[16], even_im[16], re[16], im[16];
  for (int n = 0; n < 16; ++n) {
    even_re[n] = Load(rows_re + 32 * n);
    even_im[n] = Load(rows_im + 32 * n);
  }
  Fft16(even_re, even_im);
  for (int n = 0; n < 16; ++n) {
    re[n] = Load(rows_re + 32 * n + 16);
    im[n] = Load(rows_im + 32 * n + 16);
  }
  Fft16(re, im);
#pragma GCC unroll 16
  for (int k = 0; k < 16; ++k) {
    Rotate(re[k], im[k], F64{} + kCos32[k], F64{} + kSin32[k]);
    Store(out_re + 16 * k, even_re[k] + re[k]);
    Store(out_im + 16 * k, even_im[k] + im[k]);
    Store(out_re + 16 * (k + 16), even_re[k] - re[k]);
    Store(out_im + 16 * (k + 16), even_im[k] - im[k]);
  }
}

// Magnitudes 0..N of 2N real samples, N = 16 C, and their squares before rounding to float32.
template <int C>
static inline void Magnitudes(const float* samples, const FftTables<16 * C>& tables, float* magnitudes, double* power) {
  constexpr int N = 16 * C;
  alignas(64) double z_re[N], z_im[N], t_re[N], t_im[N];
  for (int n = 0; n < N; ++n) {
    z_re[n] = samples[2 * n];
    z_im[n] = samples[2 * n + 1];
  }
  for (int n2 = 0; n2 < C; n2 += kLanes64) {
    F64 re[16], im[16];
#pragma GCC unroll 16
    for (int n1 = 0; n1 < 16; ++n1) {
      re[n1] = Load(z_re + C * n1 + n2);
      im[n1] = Load(z_im + C * n1 + n2);
    }
    Fft16(re, im);
#pragma GCC unroll 16
    for (int k1 = 0; k1 < 16; ++k1) {
      const int twiddle = C * k1 + n2;
      if (k1 > 0) Rotate(re[k1], im[k1], Load(tables.twiddle_cos + twiddle), Load(tables.twiddle_sin + twiddle));
      Store(z_re + C * k1 + n2, re[k1]);
      Store(z_im + C * k1 + n2, im[k1]);
    }
  }
  for (int n2 = 0; n2 < C; ++n2) {
    for (int k1 = 0; k1 < 16; ++k1) {
      t_re[16 * n2 + k1] = z_re[C * k1 + n2];
      t_im[16 * n2 + k1] = z_im[C * k1 + n2];
    }
  }
  for (int k1 = 0; k1 < 16; k1 += kLanes64) {
    if constexpr (C == 16)
      Columns16(t_re + k1, t_im + k1, z_re + k1, z_im + k1);
    else
      Columns32(t_re + k1, t_im + k1, z_re + k1, z_im + k1);
  }
  // X[k] = ((Z[k] + Z*[N-k]) + W_2N^k (Z[k] - Z*[N-k]) / i) / 2
  for (int k = 1; k < N; ++k) {
    t_re[k] = z_re[N - k];
    t_im[k] = z_im[N - k];
  }
  t_re[0] = z_re[0];  // Z[N] = Z[0]; gives X[0] = Re + Im
  t_im[0] = z_im[0];
  for (int k = 0; k < N; ++k) {
    const double sum_re = z_re[k] + t_re[k], difference_re = z_re[k] - t_re[k];
    const double sum_im = z_im[k] + t_im[k], difference_im = z_im[k] - t_im[k];
    const double re = sum_re + tables.split_cos[k] * sum_im - tables.split_sin[k] * difference_re;
    const double im = difference_im - tables.split_cos[k] * difference_re - tables.split_sin[k] * sum_im;
    power[k] = 0.25 * (re * re + im * im);
  }
  power[N] = (z_re[0] - z_im[0]) * (z_re[0] - z_im[0]);
  for (int k = 0; k <= N; ++k) magnitudes[k] = static_cast<float>(__builtin_sqrt(power[k]));
}

static void Magnitudes512(const float* samples, float* magnitudes, double* power) {
  Magnitudes<16>(samples, kFft256Tables, magnitudes, power);
}

static void Magnitudes1024(const float* samples, float* magnitudes) {
  double power[513];
  Magnitudes<32>(samples, kFft512Tables, magnitudes, power);
}

}  // namespace EDGEAFF_SIMD_NAMESPACE
}  // namespace edgeaff
