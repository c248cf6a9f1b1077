// The first layers with pixels in the lanes: 16 outputs by 16 pixels at a time; included by convolve_avx512vnni.cc
// alone.
//
// These layers have so few inputs that outputs in the lanes would need a broadcast for every product. With pixels in
// the lanes the taps of 16 pixels are a few registers, shuffled once and used for all outputs, whose weights are
// broadcast from memory and shared by two registers of pixels.
#pragma once
#include <immintrin.h>

#include <cstring>

#include "nets/convolve_tiles.h"
#include "nets/luminance.h"

namespace edgeaff::nets {
namespace {

// In assembly: around the intrinsic GCC 12 copies every sum twice a step, or keeps it in memory.
EDGEAFF_INLINE void Dot(__m512i& sum, __m512i values, __m512i weights) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(values), "v"(weights));
}

EDGEAFF_INLINE void Dot(__m512i& sum, __m512i values, const int8_t* weights) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(values), "m"(*reinterpret_cast<const __m512i*>(weights)));
}

EDGEAFF_INLINE __m512i Four(const void* p) {
  int32_t four;
  std::memcpy(&four, p, sizeof four);
  return _mm512_set1_epi32(four);
}

EDGEAFF_INLINE __m512i RoundSums(__m512i sums, float scale, __m512i zero) {
  const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), _mm512_set1_ps(scale));
  return _mm512_add_epi32(_mm512_cvtps_epi32(scaled), zero);
}

// Four channels of 16 pixels, whole numbers -> dword p: the bytes of the four channels of pixel p.
EDGEAFF_INLINE __m512i PackChannels(const __m512i (&q)[4]) {
  const __m512i order = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  return _mm512_shuffle_epi8(_mm512_packus_epi16(_mm512_packs_epi32(q[0], q[1]), _mm512_packs_epi32(q[2], q[3])),
                             order);
}

// four[g], dword p: channels 4 g .. 4 g + 3 of pixel p -> row i: 16 channels of pixels 4 i .. 4 i + 3, pixel by pixel.
EDGEAFF_INLINE void TransposeChannels(const __m512i (&four)[4], __m512i (&row)[4]) {
  const __m512i a = _mm512_unpacklo_epi32(four[0], four[1]), b = _mm512_unpackhi_epi32(four[0], four[1]);
  const __m512i c = _mm512_unpacklo_epi32(four[2], four[3]), d = _mm512_unpackhi_epi32(four[2], four[3]);
  const __m512i p0 = _mm512_unpacklo_epi64(a, c), p1 = _mm512_unpackhi_epi64(a, c);  // quarter i: pixel 4 i, 4 i + 1
  const __m512i p2 = _mm512_unpacklo_epi64(b, d), p3 = _mm512_unpackhi_epi64(b, d);  // 4 i + 2, 4 i + 3
  const __m512i e = _mm512_shuffle_i32x4(p0, p1, 0x44), f = _mm512_shuffle_i32x4(p2, p3, 0x44);
  const __m512i g = _mm512_shuffle_i32x4(p0, p1, 0xEE), h = _mm512_shuffle_i32x4(p2, p3, 0xEE);
  row[0] = _mm512_shuffle_i32x4(e, f, 0x88), row[1] = _mm512_shuffle_i32x4(e, f, 0xDD);
  row[2] = _mm512_shuffle_i32x4(g, h, 0x88), row[3] = _mm512_shuffle_i32x4(g, h, 0xDD);
}

// Stores 16 channels of 16 pixels that are `pixel` bytes apart.
EDGEAFF_INLINE void StoreChannels(const __m512i (&four)[4], uint8_t* out, ptrdiff_t pixel) {
  __m512i row[4];
  TransposeChannels(four, row);
  EDGEAFF_FOR(i, 4, {
    if (pixel == kGroup) {
      _mm512_storeu_si512(out + 64 * i, row[i]);
    } else {
      EDGEAFF_FOR(j, 4, {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + (4 * i + j) * pixel), _mm512_extracti32x4_epi32(row[i], j));
      });
    }
  });
}

// Bytes of a source row from column 2 * x - 1 on, those of four output pixels in each quarter of the register.
EDGEAFF_INLINE __m512i LoadSource(const uint8_t* row, int x) {
  constexpr __mmask64 kNeeded = (1ull << 33) - 1;
  const __m512i bytes = _mm512_maskz_loadu_epi8(x == 0 ? kNeeded & ~1ull : kNeeded, row + 2 * x - 1);
  return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 1, 1, 2, 2, 3, 3, 4), bytes);
}

EDGEAFF_INLINE void LoadTaps(const ImageRow& row, int x, __m512i (&taps)[kTapGroups]) {
  constexpr char z = static_cast<char>(0x80);
  const __m512i three = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, z, 2, 3, 4, z, 4, 5, 6, z, 6, 7, 8, z));
  __m512i pair[2];
  EDGEAFF_FOR(i, 2, { pair[i] = LoadSource(row.rows[2][i], x); });
  EDGEAFF_FOR(g, 6, {
    constexpr char t = g % 3;  // tap of the shared source that this group carries in its fourth byte
    const __m512i fourth =
        _mm512_broadcast_i32x4(_mm_setr_epi8(z, z, z, t, z, z, z, t + 2, z, z, z, t + 4, z, z, z, t + 6));
    const __m512i own = _mm512_shuffle_epi8(LoadSource(row.rows[g / 3][g % 3], x), three);
    taps[g] = _mm512_or_si512(own, _mm512_shuffle_epi8(pair[g / 3], fourth));
  });
  taps[6] = _mm512_shuffle_epi8(LoadSource(row.rows[2][2], x), three);
}

// 16 * G pixels of the image layer.
template <int G>
EDGEAFF_INLINE void ImagePixels(const ImageRow& row, int x) {
  constexpr int kPart = 4 * kTapGroups;
  const __m512i zero = _mm512_set1_epi32(row.zero);
  __m512i taps[G][kTapGroups], four[G][4];
  EDGEAFF_FOR(p, G, { LoadTaps(row, x + 16 * p, taps[p]); });
  EDGEAFF_FOR(g, 4, {
    __m512i q[G][4];
    EDGEAFF_FOR(pair, 2, {  // two outputs at a time: enough independent sums to hide the latency of a product
      constexpr int o = 4 * g + 2 * pair;
      const int8_t* const weights = row.weights + o * 2 * kPart;
      __m512i high[2][G], low[2][G];
      EDGEAFF_FOR(j, 2, {
        EDGEAFF_FOR(p, G, { high[j][p] = Four(row.start + o + j), low[j][p] = Four(row.start + 16 + o + j); });
      });
      EDGEAFF_FOR(t, kTapGroups, {
        EDGEAFF_FOR(j, 2, {
          const __m512i of_high = Four(weights + (2 * j) * kPart + 4 * t),
                        of_low = Four(weights + (2 * j + 1) * kPart + 4 * t);
          EDGEAFF_FOR(p, G, { Dot(high[j][p], taps[p][t], of_high); });
          EDGEAFF_FOR(p, G, { Dot(low[j][p], taps[p][t], of_low); });
        });
      });
      EDGEAFF_FOR(j, 2, {
        EDGEAFF_FOR(p, G, {
          q[p][2 * pair + j] =
              RoundSums(_mm512_add_epi32(_mm512_slli_epi32(high[j][p], 7), low[j][p]), row.scale[o + j], zero);
        });
      });
    });
    EDGEAFF_FOR(p, G, { four[p][g] = PackChannels(q[p]); });
  });
  EDGEAFF_FOR(p, G, { StoreChannels(four[p], row.out + kGroup * (x + 16 * p), kGroup); });
}

void VnniImageRow(const ImageRow& row) {
  int x = 0;
  for (; x + 32 <= row.columns; x += 32) ImagePixels<2>(row, x);
  for (; x < row.columns; x += 16) ImagePixels<1>(row, x);
}

// 16 * G pixels and 16 outputs of a one-channel convolution.
template <int G>
EDGEAFF_INLINE void ThinPixels(const ThinRow& row, int x, int first) {
  constexpr char z = static_cast<char>(0x80);
  constexpr __mmask64 kNeeded = (1ull << 18) - 1;
  const __m512i three = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, z, 1, 2, 3, z, 2, 3, 4, z, 3, 4, 5, z));
  const __m512i quarters = _mm512_setr_epi32(0, 1, 0, 0, 1, 2, 0, 0, 2, 3, 0, 0, 3, 4, 0, 0);
  const __m512i zero = _mm512_set1_epi32(row.zero);
  __m512i taps[G][3], four[G][4];
  EDGEAFF_FOR(p, G, {
    EDGEAFF_FOR(k, 3, {
      const __m512i bytes = _mm512_maskz_loadu_epi8(kNeeded, row.rows[k] + x + 16 * p);
      taps[p][k] = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(quarters, bytes), three);
    });
  });
  EDGEAFF_FOR(g, 4, {
    __m512i q[G][4];
    EDGEAFF_FOR(i, 4, {
      const int o = first + 4 * g + i;
      __m512i sums[G];
      EDGEAFF_FOR(p, G, { sums[p] = Four(row.start + o); });
      EDGEAFF_FOR(k, 3, {
        const __m512i weights = Four(row.weights + 12 * o + 4 * k);
        EDGEAFF_FOR(p, G, { Dot(sums[p], taps[p][k], weights); });
      });
      EDGEAFF_FOR(p, G, { q[p][i] = RoundSums(sums[p], row.scale[o], zero); });
    });
    EDGEAFF_FOR(p, G, { four[p][g] = PackChannels(q[p]); });
  });
  EDGEAFF_FOR(p, G, {
    StoreChannels(four[p], row.out + static_cast<ptrdiff_t>(x + 16 * p) * row.outputs + first, row.outputs);
  });
}

void VnniThinRow(const ThinRow& row) {
  for (int first = 0; first < row.outputs; first += kGroup) {
    int x = 0;
    for (; x + 48 <= row.columns; x += 48) ThinPixels<3>(row, x, first);
    for (; x < row.columns; x += 16) ThinPixels<1>(row, x, first);
  }
}

// 16 squares at a time: six bytes of a row, as three words, become two groups of four products.
void VnniLuminanceRow(const LuminanceRow& row) {
  alignas(64) int16_t words[32];
  alignas(64) uint8_t weights[64];
  for (int i = 0; i < 32; ++i) words[i] = static_cast<int16_t>(i % 4 < 3 ? 3 * (i / 4) + i % 4 : 0);
  for (int i = 0; i < 64; ++i) weights[i] = i % 8 < 6 ? row.weights[i % 8 % 3] : 0;
  const __m512i pick = _mm512_load_si512(words), w = _mm512_load_si512(weights);
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  constexpr __mmask64 kEightSquares = (1ull << 48) - 1;
  int x = 0;
  for (; x + 16 <= row.columns; x += 16) {
    __m512i half[2];
    EDGEAFF_FOR(h, 2, {
      const ptrdiff_t at = 6 * (x + 8 * h);
      half[h] = _mm512_setzero_si512();
      Dot(half[h], _mm512_permutexvar_epi16(pick, _mm512_maskz_loadu_epi8(kEightSquares, row.top + at)), w);
      Dot(half[h], _mm512_permutexvar_epi16(pick, _mm512_maskz_loadu_epi8(kEightSquares, row.bottom + at)), w);
    });
    const __m512i sum = _mm512_add_epi32(_mm512_permutex2var_epi32(half[0], even, half[1]),
                                         _mm512_permutex2var_epi32(half[0], odd, half[1]));
    const __m512 centered = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, _mm512_set1_epi32(kMiddle)));
    const __m512i levels = _mm512_cvtps_epi32(_mm512_mul_ps(centered, _mm512_set1_ps(1.0f / 64)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(row.out + x), _mm512_cvtepi32_epi16(levels));
  }
  PlainLuminanceRow({row.top + 6 * x, row.bottom + 6 * x, row.columns - x, row.weights, row.out + x});
}

void VnniStandardize(const Standardization& all) {
  const int count = all.rows * all.columns;
  if (all.columns % 16 != 0) return PlainStandardize(all);
  const auto load = [&](int i) {
    return _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(all.levels + i)));
  };
  __m512i sum = _mm512_setzero_si512();
  for (int i = 0; i < count; i += 16) sum = _mm512_add_epi32(sum, load(i));
  const Mean mean = MeanOf(_mm512_reduce_add_epi32(sum), count);
  const __m512i m = _mm512_set1_epi32(mean.whole);
  __m512i coarse = _mm512_setzero_si512(), mixed = coarse, fine = coarse;
  for (int i = 0; i < count; i += 16) {
    const __m512i v = _mm512_sub_epi32(load(i), m);
    const __m512i is_odd = _mm512_and_si512(_mm512_srai_epi32(v, 5), _mm512_set1_epi32(1));
    const __m512i a = _mm512_srai_epi32(_mm512_add_epi32(_mm512_add_epi32(v, _mm512_set1_epi32(15)), is_odd), 5);
    const __m512i r = _mm512_sub_epi32(v, _mm512_slli_epi32(a, 5));
    coarse = _mm512_add_epi32(coarse, _mm512_mullo_epi32(a, a));
    mixed = _mm512_add_epi32(mixed, _mm512_mullo_epi32(a, r));
    fine = _mm512_add_epi32(fine, _mm512_mullo_epi32(r, r));
  }
  const float deviation = Deviation(_mm512_reduce_add_epi32(coarse), _mm512_reduce_add_epi32(mixed),
                                    _mm512_reduce_add_epi32(fine), mean, count, all.epsilon);
  const __m512 rest = _mm512_set1_ps(mean.rest), d = _mm512_set1_ps(deviation), step = _mm512_set1_ps(all.step);
  for (int y = 0; y < all.rows; ++y) {
    for (int x = 0; x < all.columns; x += 16) {
      const __m512 v = _mm512_cvtepi32_ps(_mm512_sub_epi32(load(y * all.columns + x), m));
      const __m512i q = _mm512_cvtps_epi32(_mm512_div_ps(_mm512_div_ps(_mm512_sub_ps(v, rest), d), step));
      const __m512i positive =
          _mm512_max_epi32(_mm512_add_epi32(q, _mm512_set1_epi32(all.zero)), _mm512_setzero_si512());
      _mm_storeu_si128(reinterpret_cast<__m128i*>(all.out + y * all.out_row + x), _mm512_cvtusepi32_epi8(positive));
    }
  }
}

}  // namespace
}  // namespace edgeaff::nets
