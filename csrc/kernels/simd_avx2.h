// AVX2 with FMA behind the interface that the tiled kernels use; see simd_avx512.h. Include only from *_avx2.cc.
#pragma once
#include <immintrin.h>

#include <cstdint>

namespace edgeaff {
namespace {

struct Avx2 {
  using Reg = __m256;
  static constexpr int kWidth = 8;
  static constexpr int kScoreRows = 6, kScoreCols = 2;  // accumulators: 12 of 16 registers
  static constexpr int kValueRows = 6, kValueCols = 2;

  static Reg Zero() { return _mm256_setzero_ps(); }
  static Reg Set(float x) { return _mm256_set1_ps(x); }
  static Reg Load(const float* p) { return _mm256_loadu_ps(p); }
  static void Store(float* p, Reg x) { _mm256_storeu_ps(p, x); }
  static Reg Broadcast(const void* p) { return _mm256_broadcast_ss(static_cast<const float*>(p)); }
  static Reg Add(Reg a, Reg b) { return _mm256_add_ps(a, b); }
  static Reg Mul(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
  static Reg Fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }
  static Reg Max(Reg a, Reg b) { return _mm256_max_ps(a, b); }

  static float ReduceAdd(Reg x) {
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_shuffle_ps(y, y, 1)));
  }
  static float ReduceMax(Reg x) {
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_shuffle_ps(y, y, 1)));
  }

  // out[i * out_stride + k] = sum of the lanes of x[i][k].
  static void ReduceAdd4x4(const Reg (&x)[4][4], float* out, int64_t out_stride) {
    for (int i = 0; i < 4; ++i) {
      for (int k = 0; k < 4; ++k) out[i * out_stride + k] = ReduceAdd(x[i][k]);
    }
  }

  // 2^x for x <= 0: relative error below 2e-7; 0 below -126. Not-a-number stays so.
  static Reg Exp2(Reg x) {
    const Reg alive = _mm256_cmp_ps(x, _mm256_set1_ps(-126.0f), _CMP_NLT_UQ);
    x = _mm256_max_ps(_mm256_set1_ps(-126.0f), x);
    const Reg n = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Reg f = _mm256_sub_ps(x, n);
    Reg y = _mm256_set1_ps(1.326472707e-03f);
    y = Fma(y, f, _mm256_set1_ps(9.671512649e-03f));
    y = Fma(y, f, _mm256_set1_ps(5.550733744e-02f));
    y = Fma(y, f, _mm256_set1_ps(2.402224209e-01f));
    y = Fma(y, f, _mm256_set1_ps(6.931469776e-01f));
    y = Fma(y, f, _mm256_set1_ps(1.0f));
    const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_and_ps(_mm256_mul_ps(y, _mm256_castsi256_ps(exponent)), alive);
  }

  // The first `count` lanes from memory, the others from `rest`.
  static Reg LoadSome(const float* p, int count, Reg rest) {
    float lanes[kWidth];
    _mm256_storeu_ps(lanes, rest);
    for (int i = 0; i < count; ++i) lanes[i] = p[i];
    return _mm256_loadu_ps(lanes);
  }
  static void FillTail(float* p, int from, float x) {
    for (int i = from; i < kWidth; ++i) p[i] = x;
  }

  // out[k * out_stride + w] = rows[w][k] for k, w in [0, kWidth).
  static void Transpose(const float* const* rows, int64_t offset, float* out, int64_t out_stride) {
    for (int i = 0; i < 2; ++i) {
      __m256 t[4];
      for (int r = 0; r < 4; ++r) {
        t[r] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(rows[r] + offset + 4 * i)),
                                    _mm_loadu_ps(rows[r + 4] + offset + 4 * i), 1);
      }
      const __m256 a = _mm256_unpacklo_ps(t[0], t[1]), b = _mm256_unpackhi_ps(t[0], t[1]);
      const __m256 c = _mm256_unpacklo_ps(t[2], t[3]), d = _mm256_unpackhi_ps(t[2], t[3]);
      float* const to = out + 4 * i * out_stride;
      _mm256_storeu_ps(to, _mm256_shuffle_ps(a, c, 0x44));
      _mm256_storeu_ps(to + out_stride, _mm256_shuffle_ps(a, c, 0xEE));
      _mm256_storeu_ps(to + 2 * out_stride, _mm256_shuffle_ps(b, d, 0x44));
      _mm256_storeu_ps(to + 3 * out_stride, _mm256_shuffle_ps(b, d, 0xEE));
    }
  }

  static Reg LoadInt8(const int8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  static Reg LoadBf16(const uint16_t* p) {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
  }
};

}  // namespace
}  // namespace edgeaff
