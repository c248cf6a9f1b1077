// AVX-512 behind the interface that the tiled kernels use. Include only from *_avx512*.cc. Everything is in an unnamed
// namespace, so that no function compiled with these flags can be linked into code for another processor.
#pragma once
// GCC 12 warns about its own intrinsics (their "undefined" operands); fixed in GCC 13.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

#include <cstdint>

namespace edgeaff {
namespace {

struct Avx512 {
  using Reg = __m512;
  static constexpr int kWidth = 16;
  static constexpr int kScoreRows = 8, kScoreCols = 3;  // accumulators of Q K^T: 24 of 32 registers
  static constexpr int kValueRows = 6, kValueCols = 4;  // accumulators of P V

  static Reg Zero() { return _mm512_setzero_ps(); }
  static Reg Set(float x) { return _mm512_set1_ps(x); }
  static Reg Load(const float* p) { return _mm512_loadu_ps(p); }
  // The first `count` lanes from memory, the others from `rest`.
  static Reg LoadSome(const float* p, int count, Reg rest) {
    return _mm512_mask_loadu_ps(rest, static_cast<__mmask16>((1u << count) - 1u), p);
  }
  static void Store(float* p, Reg x) { _mm512_storeu_ps(p, x); }
  static Reg Broadcast(const void* p) {
    return _mm512_castsi512_ps(_mm512_set1_epi32(*static_cast<const int32_t*>(p)));
  }
  static Reg Add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
  static Reg Mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  static Reg Fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }
  static Reg Max(Reg a, Reg b) { return _mm512_max_ps(a, b); }
  static float ReduceAdd(Reg x) { return _mm512_reduce_add_ps(x); }
  static float ReduceMax(Reg x) { return _mm512_reduce_max_ps(x); }

  // out[i * out_stride + k] = sum of the lanes of x[i][k]: rows are folded by transposition, 3 steps per sum instead of 8.
  static void ReduceAdd4x4(const Reg (&x)[4][4], float* out, int64_t out_stride) {
    Reg row[4];  // lane 4 q + k of row[i]: sum over a quarter of x[i][k]
    for (int i = 0; i < 4; ++i) {
      const Reg ab = _mm512_add_ps(_mm512_unpacklo_ps(x[i][0], x[i][1]), _mm512_unpackhi_ps(x[i][0], x[i][1]));
      const Reg cd = _mm512_add_ps(_mm512_unpacklo_ps(x[i][2], x[i][3]), _mm512_unpackhi_ps(x[i][2], x[i][3]));
      row[i] = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
    }
    const Reg low =
        _mm512_add_ps(_mm512_shuffle_f32x4(row[0], row[1], 0x44), _mm512_shuffle_f32x4(row[0], row[1], 0xEE));
    const Reg high =
        _mm512_add_ps(_mm512_shuffle_f32x4(row[2], row[3], 0x44), _mm512_shuffle_f32x4(row[2], row[3], 0xEE));
    const Reg sum = _mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xDD));
    _mm_storeu_ps(out, _mm512_castps512_ps128(sum));
    _mm_storeu_ps(out + out_stride, _mm512_extractf32x4_ps(sum, 1));
    _mm_storeu_ps(out + 2 * out_stride, _mm512_extractf32x4_ps(sum, 2));
    _mm_storeu_ps(out + 3 * out_stride, _mm512_extractf32x4_ps(sum, 3));
  }

  // 2^x for x <= 0: relative error below 2e-7; 0 below -150, so also for minus infinity. Not-a-number stays so.
  static Reg Exp2(Reg x) {
    x = _mm512_max_ps(_mm512_set1_ps(-200.0f), x);
    const Reg n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Reg f = _mm512_sub_ps(x, n);
    Reg y = _mm512_set1_ps(1.326472707e-03f);
    y = Fma(y, f, _mm512_set1_ps(9.671512649e-03f));
    y = Fma(y, f, _mm512_set1_ps(5.550733744e-02f));
    y = Fma(y, f, _mm512_set1_ps(2.402224209e-01f));
    y = Fma(y, f, _mm512_set1_ps(6.931469776e-01f));
    y = Fma(y, f, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(y, n);
  }

  // Fills p[from .. kWidth) with x.
  static void FillTail(float* p, int from, float x) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>(0xFFFFu << from), _mm512_set1_ps(x));
  }

  // out[k * out_stride + w] = rows[w][k] for k, w in [0, kWidth).
  static void Transpose(const float* const* rows, int64_t offset, float* out, int64_t out_stride) {
    __m512 t[16];  // t[4 i + j], quarter q: channel 4 q + j of rows 4 i to 4 i + 3
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __m512 x = Load(rows[4 * i] + offset), y = Load(rows[4 * i + 1] + offset);
      const __m512 z = Load(rows[4 * i + 2] + offset), w = Load(rows[4 * i + 3] + offset);
      const __m512 a = _mm512_unpacklo_ps(x, y), b = _mm512_unpackhi_ps(x, y);
      const __m512 c = _mm512_unpacklo_ps(z, w), d = _mm512_unpackhi_ps(z, w);
      t[4 * i] = _mm512_shuffle_ps(a, c, 0x44);
      t[4 * i + 1] = _mm512_shuffle_ps(a, c, 0xEE);
      t[4 * i + 2] = _mm512_shuffle_ps(b, d, 0x44);
      t[4 * i + 3] = _mm512_shuffle_ps(b, d, 0xEE);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const __m512 low = _mm512_shuffle_f32x4(t[j], t[4 + j], 0x44), high = _mm512_shuffle_f32x4(t[j], t[4 + j], 0xEE);
      const __m512 low2 = _mm512_shuffle_f32x4(t[8 + j], t[12 + j], 0x44),
                   high2 = _mm512_shuffle_f32x4(t[8 + j], t[12 + j], 0xEE);
      Store(out + j * out_stride, _mm512_shuffle_f32x4(low, low2, 0x88));
      Store(out + (4 + j) * out_stride, _mm512_shuffle_f32x4(low, low2, 0xDD));
      Store(out + (8 + j) * out_stride, _mm512_shuffle_f32x4(high, high2, 0x88));
      Store(out + (12 + j) * out_stride, _mm512_shuffle_f32x4(high, high2, 0xDD));
    }
  }

  static Reg LoadInt8(const int8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  static Reg LoadBf16(const uint16_t* p) {
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
  }
};

}  // namespace
}  // namespace edgeaff
