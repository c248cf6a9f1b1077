// Products of unsigned and signed bytes, four at a time, with sums of 32 bits (vpdpbusd): 6 rows x 64 outputs of sums stay in registers.
#include "simd_avx512.h"
#include "window_step_cpu.h"
#include "window_step_tile.h"

namespace edgeaff {
namespace {

struct VnniDot {
  static constexpr int kRows = 6;

  static void Multiply(const ByteLinear& linear, const uint8_t* a, const float* scales, int64_t rows, int zero,
                       bool relu, float* y, int64_t y_stride) {
    for (int64_t from = 0; from < linear.outputs; from += kPanel) {
      int64_t r = 0;
      for (; r + kRows <= rows; r += kRows) Rows<kRows>(linear, a, scales, r, from, zero, relu, y, y_stride);
      switch (rows - r) {
        case 5: Rows<5>(linear, a, scales, r, from, zero, relu, y, y_stride); break;
        case 4: Rows<4>(linear, a, scales, r, from, zero, relu, y, y_stride); break;
        case 3: Rows<3>(linear, a, scales, r, from, zero, relu, y, y_stride); break;
        case 2: Rows<2>(linear, a, scales, r, from, zero, relu, y, y_stride); break;
        case 1: Rows<1>(linear, a, scales, r, from, zero, relu, y, y_stride); break;
        default: break;
      }
    }
  }

  // 64 sums of one row.
  struct Sums {
    __m512i a, b, c, d;
  };

  // In assembly: around the intrinsic GCC 12 copies every sum twice a step, or keeps it in memory.
  static inline __attribute__((always_inline)) void Dot(__m512i& sum, __m512i values, __m512i weights) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(values), "v"(weights));
  }

  template <int R>
  static void Rows(const ByteLinear& linear, const uint8_t* a, const float* scales, int64_t r, int64_t from, int zero,
                   bool relu, float* y, int64_t y_stride) {
    Sums sums[R];
    Clear<0>(sums);
    const int8_t* w = linear.panels + from * linear.inputs;
    const uint8_t* row = a + r * linear.inputs;
    for (int k = 0; k < linear.inputs; k += 4, w += 4 * kPanel, row += 4) {
      const Sums column{_mm512_loadu_si512(w), _mm512_loadu_si512(w + 64), _mm512_loadu_si512(w + 128),
                        _mm512_loadu_si512(w + 192)};
      Add<0>(sums, row, linear.inputs, column);
    }
    const __m512i zeros = _mm512_set1_epi32(zero);
    Finish<0>(sums, linear, scales + r, from, zeros, relu, y + r * y_stride + from, y_stride);
  }

  template <int I, int R>
  static inline __attribute__((always_inline)) void Clear(Sums (&sums)[R]) {
    if constexpr (I < R) {
      sums[I].a = sums[I].b = sums[I].c = sums[I].d = _mm512_setzero_si512();
      Clear<I + 1>(sums);
    }
  }

  template <int I, int R>
  static inline __attribute__((always_inline)) void Add(Sums (&sums)[R], const uint8_t* row, int64_t stride,
                                                        const Sums& column) {
    if constexpr (I < R) {
      int32_t four;
      __builtin_memcpy(&four, row + I * stride, 4);
      const __m512i values = _mm512_set1_epi32(four);
      Dot(sums[I].a, values, column.a);
      Dot(sums[I].b, values, column.b);
      Dot(sums[I].c, values, column.c);
      Dot(sums[I].d, values, column.d);
      Add<I + 1>(sums, row, stride, column);
    }
  }

  template <int I, int R>
  static inline __attribute__((always_inline)) void Finish(const Sums (&sums)[R], const ByteLinear& linear,
                                                           const float* scales, int64_t from, __m512i zeros, bool relu,
                                                           float* y, int64_t y_stride) {
    if constexpr (I < R) {
      const __m512 scale = _mm512_set1_ps(scales[I]);
      Store(sums[I].a, linear, from, scale, zeros, relu, y + I * y_stride);
      Store(sums[I].b, linear, from + 16, scale, zeros, relu, y + I * y_stride + 16);
      Store(sums[I].c, linear, from + 32, scale, zeros, relu, y + I * y_stride + 32);
      Store(sums[I].d, linear, from + 48, scale, zeros, relu, y + I * y_stride + 48);
      Finish<I + 1>(sums, linear, scales, from, zeros, relu, y, y_stride);
    }
  }

  static inline __attribute__((always_inline)) void Store(__m512i sum, const ByteLinear& linear, int64_t at,
                                                          __m512 scale, __m512i zeros, bool relu, float* y) {
    const __m512i excess = _mm512_mullo_epi32(_mm512_loadu_si512(linear.column_sums + at), zeros);
    const __m512 factor = _mm512_mul_ps(scale, _mm512_loadu_ps(linear.scale + at));
    const __m512 value = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sum, excess)), factor),
                                       _mm512_loadu_ps(linear.bias + at));
    _mm512_storeu_ps(y, relu ? _mm512_max_ps(value, _mm512_setzero_ps()) : value);
  }
};

}  // namespace

const WindowKernel kWindowAvx512Vnni{WindowRunner<Avx512, VnniDot>::Append, WindowRunner<Avx512, VnniDot>::Step};

}  // namespace edgeaff
