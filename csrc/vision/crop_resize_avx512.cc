// crop_resize for AVX-512: 64 bytes of a row at a time down the columns, the tail masked; along the row the AVX2 kernels
// (rows of a face crop are too short for wider registers to pay).
#include <immintrin.h>

#include "vision/crop_resize_kernels.h"

// GCC 12 takes the deliberately undefined operands inside its own intrinsics for mistakes.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

namespace edgeaff::crop_resize {
namespace {

void BlendAvx512(const uint8_t* const* rows, const int16_t* weights, int count, int n, int16_t* out) {
  const __m512i zero = _mm512_setzero_si512();
  for (int x = 0; x < n; x += 64) {
    const int left = n - x;
    const __mmask64 mask = left >= 64 ? ~0ull : (1ull << left) - 1;
    __m512i sums[4];
    for (__m512i& sum : sums) sum = _mm512_set1_epi32(1 << (kColumnShift - 1));
    for (int k = 0; k < count; k += 2) {
      int32_t both;
      __builtin_memcpy(&both, weights + k, sizeof(both));
      const __m512i pair = _mm512_set1_epi32(both);
      const __m512i a = _mm512_maskz_loadu_epi8(mask, rows[k] + x), b = _mm512_maskz_loadu_epi8(mask, rows[k + 1] + x);
      const __m512i low = _mm512_unpacklo_epi8(a, b), high = _mm512_unpackhi_epi8(a, b);
      sums[0] = _mm512_add_epi32(sums[0], _mm512_madd_epi16(_mm512_unpacklo_epi8(low, zero), pair));
      sums[1] = _mm512_add_epi32(sums[1], _mm512_madd_epi16(_mm512_unpackhi_epi8(low, zero), pair));
      sums[2] = _mm512_add_epi32(sums[2], _mm512_madd_epi16(_mm512_unpacklo_epi8(high, zero), pair));
      sums[3] = _mm512_add_epi32(sums[3], _mm512_madd_epi16(_mm512_unpackhi_epi8(high, zero), pair));
    }
    for (__m512i& sum : sums) sum = _mm512_srai_epi32(sum, kColumnShift);
    // Quarters of 16 bytes: first holds the lower 8 of each, second the upper 8; put them back in order.
    const __m512i first = _mm512_packs_epi32(sums[0], sums[1]), second = _mm512_packs_epi32(sums[2], sums[3]);
    const __m512i lower = _mm512_permutex2var_epi64(first, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), second);
    const __m512i upper = _mm512_permutex2var_epi64(first, _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), second);
    _mm512_mask_storeu_epi16(out + x, static_cast<__mmask32>(mask), lower);
    _mm512_mask_storeu_epi16(out + x + 32, static_cast<__mmask32>(mask >> 32), upper);
  }
}

}  // namespace

Kernels Avx512Kernels() {
  Kernels kernels = Avx2Kernels();
  kernels.blend = BlendAvx512;
  return kernels;
}

}  // namespace edgeaff::crop_resize
