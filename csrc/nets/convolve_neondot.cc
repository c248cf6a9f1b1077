// NEON with int8 dot products (Armv8.2: Cortex-A55, A76 and later): sdot adds four products to 32 bits, four outputs at
// once.
//
// 16 bytes of a pixel are loaded once and selected by lane, so a step of 16 bytes needs one load a pixel and 16 loads
// of weights that P pixels share.
#include "nets/convolve_neon_tile.h"

namespace edgeaff::nets {
namespace {

struct NeonDot {
  template <int N, int P>
  using Sums = int32x4_t[P][N][4];
  static constexpr int kMostGroups = 1;
  static constexpr int kMostPixels[] = {4};
  static constexpr int kImagePixels = 2, kMapPixels = 1;

  template <int N, int P>
  static EDGEAFF_INLINE void Start(Sums<N, P>& sums, const int32_t* start) {
    EDGEAFF_FOR(n, N, {
      EDGEAFF_FOR(j, 4, {
        const int32x4_t first = vld1q_s32(start + kGroup * n + 4 * j);
        EDGEAFF_FOR(m, P, { sums[m][n][j] = first; });
      });
    });
  }

  template <int N, int P>
  static EDGEAFF_INLINE const int8_t* Row(Sums<N, P>& sums, const uint8_t* run, ptrdiff_t step, int bytes,
                                          const int8_t* w) {
    for (int k = 0; k < bytes; k += kRunMultiple) {
      int8x16_t values[P];
      EDGEAFF_FOR(m, P, { values[m] = LoadSigned(run + k + m * step); });
      EDGEAFF_FOR(lane, 4, {
        EDGEAFF_FOR(n, N, {
          EDGEAFF_FOR(j, 4, {
            const int8x16_t weights = vld1q_s8(w + 16 * j);
            EDGEAFF_FOR(m, P, { sums[m][n][j] = vdotq_laneq_s32(sums[m][n][j], weights, values[m], lane); });
          });
          w += kUnitBytes;
        });
      });
    }
    return w;
  }

  template <int N, int P>
  static EDGEAFF_INLINE void Bytes(Sums<N, P>& sums, const Tile& tile, const uint8_t* run, const int8_t* w) {
    const Block& block = *tile.block;
    Row<N, P>(sums, run, block.in_pixel, kRunMultiple, w);
    EDGEAFF_FOR(m, P, {
      const uint8_t* const second =
          tile.second == nullptr ? nullptr : tile.second + (m >> block.second.shift) * block.second.pixel;
      NeonRounding::Bytes(sums[m][0], block, second, tile.out + m * block.out_pixel);
    });
  }

  template <int P>
  static EDGEAFF_INLINE void Image(Sums<2, P>& sums, const Tile& tile) {
    EDGEAFF_FOR(m, P,
                { NeonRounding::Image(sums[m][0], sums[m][1], *tile.block, tile.out + m * tile.block->out_pixel); });
  }

  template <int P>
  static EDGEAFF_INLINE void Map(Sums<3, P>& sums, const Tile& tile) {
    EDGEAFF_FOR(m, P, {
      NeonRounding::Map(sums[m][0], sums[m][1], sums[m][2], *tile.block, tile.out + m * tile.block->out_pixel);
    });
  }
};

int64_t Roof(int64_t repeats) {
  constexpr int kSums = 16;
  int32x4_t sums[kSums];
  EDGEAFF_FOR(i, kSums, { sums[i] = vdupq_n_s32(i); });
  const int8x16_t values = vdupq_n_s8(3), weights = vdupq_n_s8(5);
  for (int64_t r = 0; r < repeats; ++r) {
    EDGEAFF_FOR(i, kSums, {
      sums[i] = vdotq_s32(sums[i], values, weights);
      asm volatile("" : "+w"(sums[i]));
    });
  }
  volatile int32_t keep = vaddvq_s32(sums[0]);
  (void)keep;
  return repeats * kSums * 16;
}

}  // namespace

const Kernels kNeonDotKernels{"neondot", NeonDot::kMostGroups, RunBlock<NeonDot>, nullptr,
                              nullptr,   PlainLuminanceRow,    PlainStandardize,  Roof,
                              true};

}  // namespace edgeaff::nets
