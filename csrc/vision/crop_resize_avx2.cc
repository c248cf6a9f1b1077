// crop_resize for AVX2: 32 bytes of a row at a time down the columns, 128-bit multiply-adds along the row.
#include <immintrin.h>

#include "vision/crop_resize_kernels.h"

namespace edgeaff::crop_resize {
namespace {

// Two weights side by side, for multiply-add of interleaved rows or pixels.
inline __m256i PairOf(const int16_t* weights) {
  int32_t both;
  __builtin_memcpy(&both, weights, sizeof(both));
  return _mm256_set1_epi32(both);
}

void BlendAvx2(const uint8_t* const* rows, const int16_t* weights, int count, int n, int16_t* out) {
  const __m256i zero = _mm256_setzero_si256();
  int x = 0;
  for (; x + 32 <= n; x += 32) {
    __m256i sums[4];
    for (__m256i& sum : sums) sum = _mm256_set1_epi32(1 << (kColumnShift - 1));
    for (int k = 0; k < count; k += 2) {
      const __m256i pair = PairOf(weights + k);
      const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[k] + x));
      const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[k + 1] + x));
      const __m256i low = _mm256_unpacklo_epi8(a, b), high = _mm256_unpackhi_epi8(a, b);
      sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(_mm256_unpacklo_epi8(low, zero), pair));
      sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(_mm256_unpackhi_epi8(low, zero), pair));
      sums[2] = _mm256_add_epi32(sums[2], _mm256_madd_epi16(_mm256_unpacklo_epi8(high, zero), pair));
      sums[3] = _mm256_add_epi32(sums[3], _mm256_madd_epi16(_mm256_unpackhi_epi8(high, zero), pair));
    }
    for (__m256i& sum : sums) sum = _mm256_srai_epi32(sum, kColumnShift);
    // Unpacking worked within 128-bit halves: first holds bytes 0-7 and 16-23, second 8-15 and 24-31.
    const __m256i first = _mm256_packs_epi32(sums[0], sums[1]), second = _mm256_packs_epi32(sums[2], sums[3]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + x), _mm256_permute2x128_si256(first, second, 0x20));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + x + 16), _mm256_permute2x128_si256(first, second, 0x31));
  }
  for (; x < n; ++x) {
    int32_t sum = 1 << (kColumnShift - 1);
    for (int k = 0; k < count; ++k) sum += weights[k] * rows[k][x];
    out[x] = static_cast<int16_t>(sum >> kColumnShift);
  }
}

inline __m128i Load(const int16_t* data) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(data)); }

void Filter1Avx2(const int16_t* row, const AxisTable& table, int base, int32_t* out) {
  const int size = static_cast<int>(table.first.size());
  for (int j = 0; j < size; ++j) {
    const int16_t* weights = &table.weights[static_cast<size_t>(j) * table.stride];
    const int16_t* pixels = row + (table.first[j] - base);
    __m128i sum = _mm_setzero_si128();
    for (int k = 0; k < table.count[j]; k += 8) {
      sum = _mm_add_epi32(sum, _mm_madd_epi16(Load(pixels + k), Load(weights + k)));
    }
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
    out[j] = _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1)));
  }
}

void Filter2Avx2(const int16_t* row, const AxisTable& table, int base, int32_t* out) {
  // u0 v0 u1 v1 u2 v2 u3 v3 -> u0 u1 v0 v1 u2 u3 v2 v3; w0 w1 w2 w3 -> w0 w1 w0 w1 w2 w3 w2 w3.
  const __m128i order = _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
  const __m128i twice = _mm_setr_epi8(0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7);
  const int size = static_cast<int>(table.first.size());
  for (int j = 0; j < size; ++j) {
    const int16_t* weights = &table.weights[static_cast<size_t>(j) * table.stride];
    const int16_t* pixels = row + 2 * static_cast<ptrdiff_t>(table.first[j] - base);
    __m128i sum = _mm_setzero_si128();
    for (int k = 0; k < table.count[j]; k += 4) {
      const __m128i four = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(weights + k));
      const __m128i pairs = _mm_shuffle_epi8(Load(pixels + 2 * k), order);
      sum = _mm_add_epi32(sum, _mm_madd_epi16(pairs, _mm_shuffle_epi8(four, twice)));
    }
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + 2 * j), sum);
  }
}

// One pixel of three channels: sums in the first three places.
inline __m128i Pixel3(const int16_t* pixels, const int16_t* weights, int count, __m128i order) {
  __m128i sum = _mm_setzero_si128();
  for (int k = 0; k < count; k += 2) {
    const __m128i pair = _mm256_castsi256_si128(PairOf(weights + k));
    sum = _mm_add_epi32(sum, _mm_madd_epi16(_mm_shuffle_epi8(Load(pixels + 3 * k), order), pair));
  }
  return sum;
}

void Filter3Avx2(const int16_t* row, const AxisTable& table, int base, int32_t* out) {
  // r0 g0 b0 r1 g1 b1 . . -> r0 r1 g0 g1 b0 b1 0 0
  const __m128i order = _mm_setr_epi8(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1, -1, -1);
  const __m256i both = _mm256_broadcastsi128_si256(order);
  const ptrdiff_t size = static_cast<ptrdiff_t>(table.first.size()), stride = table.stride;
  const int32_t *first = table.first.data(), *count = table.count.data();
  const int16_t* weights = table.weights.data();
  ptrdiff_t j = 0;
  for (; j + 2 <= size; j += 2, weights += 2 * stride) {
    const int16_t *a = row + 3 * static_cast<ptrdiff_t>(first[j] - base),
                  *b = row + 3 * static_cast<ptrdiff_t>(first[j + 1] - base);
    __m256i* target = reinterpret_cast<__m256i*>(out + 4 * j);
    if (count[j] <= 2 && count[j + 1] <= 2) {  // halving, and everything that grows: two pixels at once
      int32_t pair_a, pair_b;
      __builtin_memcpy(&pair_a, weights, sizeof(pair_a));
      __builtin_memcpy(&pair_b, weights + stride, sizeof(pair_b));
      const __m256i pixels = _mm256_inserti128_si256(_mm256_castsi128_si256(Load(a)), Load(b), 1);
      const __m256i pairs =
          _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_set1_epi32(pair_a)), _mm_set1_epi32(pair_b), 1);
      _mm256_storeu_si256(target, _mm256_madd_epi16(_mm256_shuffle_epi8(pixels, both), pairs));
      continue;
    }
    const __m128i low = Pixel3(a, weights, count[j], order), high = Pixel3(b, weights + stride, count[j + 1], order);
    _mm256_storeu_si256(target, _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1));
  }
  if (j < size) {
    const __m128i sum = Pixel3(row + 3 * static_cast<ptrdiff_t>(first[j] - base), weights, count[j], order);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 4 * j), sum);
  }
}

// Four pixels as bytes: r g b . r g b . r g b . r g b .
inline __m128i RoundFour(const int32_t* sums) {
  const __m128i half = _mm_set1_epi32(1 << (kRowShift - 1));
  __m128i pixel[4];
  for (int i = 0; i < 4; ++i) {
    const __m128i sum = _mm_loadu_si128(reinterpret_cast<const __m128i*>(sums + 4 * i));
    pixel[i] = _mm_srai_epi32(_mm_add_epi32(sum, half), kRowShift);
  }
  return _mm_packus_epi16(_mm_packs_epi32(pixel[0], pixel[1]), _mm_packs_epi32(pixel[2], pixel[3]));
}

void PackPixelsAvx2(const int32_t* sums, int width, uint8_t* out) {
  const __m128i close = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  int x = 0;
  for (; x + 6 <= width; x += 4) {  // writes 16 bytes for 12: the next pixels overwrite the rest
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 3 * x), _mm_shuffle_epi8(RoundFour(sums + 4 * x), close));
  }
  for (; x < width; ++x) {
    for (int c = 0; c < 3; ++c) out[3 * x + c] = RoundSum(sums[4 * x + c]);
  }
}

void PackPlanesAvx2(const int32_t* sums, int width, uint8_t* const planes[3]) {
  const __m128i apart = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  int x = 0;
  for (; x + 16 <= width; x += 16) {
    __m128i four[4];  // rrrr gggg bbbb .... of four pixels each
    for (int i = 0; i < 4; ++i) four[i] = _mm_shuffle_epi8(RoundFour(sums + 4 * (x + 4 * i)), apart);
    const __m128i low = _mm_unpacklo_epi32(four[0], four[1]), high = _mm_unpacklo_epi32(four[2], four[3]);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(planes[0] + x), _mm_unpacklo_epi64(low, high));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(planes[1] + x), _mm_unpackhi_epi64(low, high));
    const __m128i blue = _mm_unpacklo_epi64(_mm_unpackhi_epi32(four[0], four[1]), _mm_unpackhi_epi32(four[2], four[3]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(planes[2] + x), blue);
  }
  for (; x < width; ++x) {
    for (int c = 0; c < 3; ++c) planes[c][x] = RoundSum(sums[4 * x + c]);
  }
}

}  // namespace

Kernels Avx2Kernels() { return {BlendAvx2, {Filter1Avx2, Filter2Avx2, Filter3Avx2}, PackPixelsAvx2, PackPlanesAvx2}; }

}  // namespace edgeaff::crop_resize
