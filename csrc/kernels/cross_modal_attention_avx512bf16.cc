// Products of bf16 pairs with fp32 sums (vdpbf16ps): half the instructions of fp32.
#include "attention_tile.h"
#include "simd_avx512.h"

namespace edgeaff {
namespace {

struct Bf16Pairs {
  using V = Avx512;
  using Element = uint16_t;
  static constexpr int kPack = 2;
  static __m512 MulAdd(__m512 acc, __m512 a, __m512 b) {
    return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
  static const float* UnitRow(const uint16_t* row, int64_t, float*) { return reinterpret_cast<const float*>(row); }
  static void StoreProbability(float* row, int64_t j, __m512 p) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(reinterpret_cast<uint16_t*>(row) + j),
                        reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(p)));
  }
  // Channel by channel the pair (rows[0], rows[1]); a null row is all zero.
  static void PackValues(const uint16_t* const* rows, int64_t count, float* out) {
    for (int64_t i = 0; i < count; i += 16) {
      const __m512i even = rows[0] == nullptr ? _mm512_setzero_si512() : Widen(rows[0] + i);
      const __m512i odd = rows[1] == nullptr ? _mm512_setzero_si512() : Widen(rows[1] + i);
      _mm512_storeu_si512(out + i, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
    }
  }
  static __m512i Widen(const uint16_t* p) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
};

}  // namespace

using Tile = AttentionTile<Bf16Pairs>;

const AttentionKernel kAttentionBf16Avx512Dot{Tile::ScratchFloats, Tile::Run};

}  // namespace edgeaff
