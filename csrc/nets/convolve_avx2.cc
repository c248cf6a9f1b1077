// AVX2: vpmaddubsw and vpmaddwd add four products of an unsigned and a signed byte. Weights have 7 bits, so the pairs
// of the first instruction stay in 16 bits and nothing saturates: the same bytes as with VNNI.
#include <immintrin.h>

#include <cstring>

#include "nets/convolve_tiles.h"
#include "nets/luminance.h"

namespace edgeaff::nets {
namespace {

struct Avx2 {
  static constexpr int kHalves = 2;  // registers of a group
  template <int N, int P>
  using Sums = __m256i[P][kHalves * N];
  static constexpr int kMostGroups = 1;
  static constexpr int kMostPixels[] = {4};
  static constexpr int kImagePixels = 2, kMapPixels = 1;

  template <int N, int P>
  static EDGEAFF_INLINE void Start(Sums<N, P>& sums, const int32_t* start) {
    EDGEAFF_FOR(n, kHalves * N, {
      const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(start + 8 * n));
      EDGEAFF_FOR(m, P, { sums[m][n] = first; });
    });
  }

  template <int N, int P>
  static EDGEAFF_INLINE const int8_t* Row(Sums<N, P>& sums, const uint8_t* run, ptrdiff_t step, int bytes,
                                          const int8_t* w) {
    const __m256i ones = _mm256_set1_epi16(1);
    for (int k = 0; k < bytes; k += 4, w += kUnitBytes * N) {
      const uint8_t* const four = run + k;
      EDGEAFF_FOR(n, N, {
        const auto* const unit = reinterpret_cast<const __m256i*>(w + kUnitBytes * n);
        const __m256i low = _mm256_load_si256(unit), high = _mm256_load_si256(unit + 1);
        EDGEAFF_FOR(m, P, {
          const __m256i values = Four(four + m * step);
          sums[m][2 * n] = Dot(sums[m][2 * n], values, low, ones);
          sums[m][2 * n + 1] = Dot(sums[m][2 * n + 1], values, high, ones);
        });
      });
    }
    return w;
  }

  static EDGEAFF_INLINE __m256i Four(const uint8_t* p) {
    int32_t four;
    std::memcpy(&four, p, sizeof four);
    return _mm256_set1_epi32(four);
  }

  static EDGEAFF_INLINE __m256i Dot(__m256i sum, __m256i values, __m256i weights, __m256i ones) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(values, weights), ones));
  }

  template <int N, int P>
  static EDGEAFF_INLINE void Settle(Sums<N, P>& sums) {  // without it GCC 12 keeps sums in memory during the loop
    EDGEAFF_FOR(n, kHalves * N, { EDGEAFF_FOR(m, P, { asm volatile("" : "+x"(sums[m][n])); }); });
  }

  template <int N, int P>
  static EDGEAFF_INLINE void Bytes(Sums<N, P>& sums, const Tile& tile, const uint8_t* run, const int8_t* w) {
    const Block& block = *tile.block;
    Row<N, P>(sums, run, block.in_pixel, kRunMultiple, w);
    Settle<N, P>(sums);
    const __m256i zero = _mm256_set1_epi32(block.zero);
    EDGEAFF_FOR(m, P, {
      const uint8_t* const bytes =
          tile.second == nullptr ? nullptr : tile.second + (m >> block.second.shift) * block.second.pixel;
      EDGEAFF_FOR(n, kHalves * N, {
        const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[m][n]), _mm256_loadu_ps(block.scale + 8 * n));
        sums[m][n] = _mm256_add_epi32(_mm256_cvtps_epi32(scaled), zero);
        if (bytes != nullptr) sums[m][n] = Combine(sums[m][n], bytes + 8 * n, block.second);
      });
      EDGEAFF_FOR(n, N, { Store(sums[m][2 * n], sums[m][2 * n + 1], tile.out + m * block.out_pixel + 16 * n); });
    });
  }

  // q before clamping and 8 bytes of the second operand -> whole numbers that Store clamps.
  static EDGEAFF_INLINE __m256i Combine(__m256i q, const uint8_t* bytes, const Second& second) {
    const __m256i clamped = _mm256_min_epi32(_mm256_max_epi32(q, _mm256_setzero_si256()), _mm256_set1_epi32(255));
    const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
    const __m256 own = _mm256_cvtepi32_ps(clamped), other = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(eight));
    const __m256 a = _mm256_set1_ps(second.own), b = _mm256_set1_ps(second.factor), c = _mm256_set1_ps(second.constant);
    return _mm256_cvtps_epi32(second.is_first ? _mm256_fmadd_ps(other, b, _mm256_fmadd_ps(own, a, c))
                                              : _mm256_fmadd_ps(own, a, _mm256_fmadd_ps(other, b, c)));
  }

  // 16 whole numbers -> 16 bytes.
  static EDGEAFF_INLINE void Store(__m256i low, __m256i high, uint8_t* out) {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xD8);
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bytes);
  }

  template <int P>
  static EDGEAFF_INLINE void Image(Sums<2, P>& sums, const Tile& tile) {
    Settle<2, P>(sums);
    const Block& block = *tile.block;
    EDGEAFF_FOR(m, P, {
      EDGEAFF_FOR(h, 2, {
        const __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(sums[m][h], 7), sums[m][2 + h]);
        const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_loadu_ps(block.scale + 8 * h));
        sums[m][h] = _mm256_add_epi32(_mm256_cvtps_epi32(scaled), _mm256_set1_epi32(block.zero));
      });
      Store(sums[m][0], sums[m][1], tile.out + m * block.out_pixel);
    });
  }

  template <int P>
  static EDGEAFF_INLINE void Map(Sums<3, P>& sums, const Tile& tile) {
    Settle<3, P>(sums);
    const Block& block = *tile.block;
    EDGEAFF_FOR(m, P, {
      auto* const out = reinterpret_cast<float*>(tile.out + m * block.out_pixel);
      EDGEAFF_FOR(h, 2, {
        const __m256 fine = _mm256_cvtepi32_ps(_mm256_add_epi32(_mm256_slli_epi32(sums[m][2 + h], 7), sums[m][4 + h]));
        const __m256 sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[m][h]), _mm256_set1_ps(16384.0f), fine);
        _mm256_storeu_ps(out + 8 * h, _mm256_fmadd_ps(sum, _mm256_loadu_ps(block.scale + 8 * h),
                                                      _mm256_loadu_ps(block.offset + 8 * h)));
      });
    });
  }
};

int64_t Roof(int64_t repeats) {
  constexpr int kSums = 8;
  __m256i sums[kSums];
  EDGEAFF_FOR(i, kSums, { sums[i] = _mm256_set1_epi32(i); });
  __m256i values = _mm256_set1_epi8(3);
  const __m256i weights = _mm256_set1_epi8(5), ones = _mm256_set1_epi16(1);
  for (int64_t r = 0; r < repeats; ++r) {
    EDGEAFF_FOR(i, kSums, {
      asm volatile("" : "+x"(values));  // or equal products are made once
      sums[i] = Avx2::Dot(sums[i], values, weights, ones);
    });
  }
  EDGEAFF_FOR(i, kSums, { asm volatile("" : "+x"(sums[i])); });
  return repeats * kSums * 32;
}

}  // namespace

const Kernels kAvx2Kernels{"avx2",  Avx2::kMostGroups, RunBlock<Avx2>,   nullptr,
                           nullptr, PlainLuminanceRow, PlainStandardize, Roof};

}  // namespace edgeaff::nets
