// NEON without dot products (Cortex-A53, A72): smull and smlal multiply eight bytes to 16 bits, sadalp adds pairs to 32
// bits.
//
// Eight bytes of a unit are two outputs by four inputs. The products of two units are added in 16 bits, at most
// 2 * 128 * 64 = 16384, before the pairs go to 32 bits; half sums of an output are joined once, at the end.
#include "nets/convolve_neon_tile.h"

namespace edgeaff::nets {
namespace {

struct Neon {
  static constexpr int kPairs = 8;  // of outputs in a group: one register of half sums each
  template <int N, int P>
  using Sums = int32x4_t[P][N][kPairs];
  static constexpr int kMostGroups = 1;
  static constexpr int kMostPixels[] = {2};
  static constexpr int kImagePixels = 1, kMapPixels = 1;

  template <int N, int P>
  static EDGEAFF_INLINE void Start(Sums<N, P>& sums, const int32_t* start) {
    EDGEAFF_FOR(n, N, {
      EDGEAFF_FOR(i, kPairs, {
        const int32x2_t pair = vld1_s32(start + kGroup * n + 2 * i), none = vdup_n_s32(0);
        const int32x4_t first = vcombine_s32(vzip1_s32(pair, none), vzip2_s32(pair, none));
        EDGEAFF_FOR(m, P, { sums[m][n][i] = first; });
      });
    });
  }

  // Four bytes of a pixel twice, for the two outputs of eight bytes of weights.
  template <int kLane>
  static EDGEAFF_INLINE int8x8_t Twice(int8x16_t values) {
    return vreinterpret_s8_s32(vdup_laneq_s32(vreinterpretq_s32_s8(values), kLane));
  }

  template <int N, int P>
  static EDGEAFF_INLINE const int8_t* Row(Sums<N, P>& sums, const uint8_t* run, ptrdiff_t step, int bytes,
                                          const int8_t* w) {
    for (int k = 0; k < bytes; k += kRunMultiple) {
      int8x16_t values[P];
      EDGEAFF_FOR(m, P, { values[m] = LoadSigned(run + k + m * step); });
      EDGEAFF_FOR(half, 2, {
        EDGEAFF_FOR(n, N, {
          EDGEAFF_FOR(i, kPairs, {
            const int8x8_t first = vld1_s8(w + kUnitBytes * n + 8 * i),
                           second = vld1_s8(w + kUnitBytes * (N + n) + 8 * i);
            EDGEAFF_FOR(m, P, {
              const int16x8_t products = vmull_s8(first, Twice<2 * half>(values[m]));
              sums[m][n][i] = vpadalq_s16(sums[m][n][i], vmlal_s8(products, second, Twice<2 * half + 1>(values[m])));
            });
          });
        });
        w += 2 * kUnitBytes * N;
      });
    }
    return w;
  }

  static EDGEAFF_INLINE void Join(const int32x4_t (&halves)[kPairs], int32x4_t (&sums)[4]) {
    EDGEAFF_FOR(j, 4, { sums[j] = vpaddq_s32(halves[2 * j], halves[2 * j + 1]); });
  }

  template <int N, int P>
  static EDGEAFF_INLINE void Bytes(Sums<N, P>& sums, const Tile& tile, const uint8_t* run, const int8_t* w) {
    const Block& block = *tile.block;
    Row<N, P>(sums, run, block.in_pixel, kRunMultiple, w);
    EDGEAFF_FOR(m, P, {
      const uint8_t* const second =
          tile.second == nullptr ? nullptr : tile.second + (m >> block.second.shift) * block.second.pixel;
      int32x4_t joined[4];
      Join(sums[m][0], joined);
      NeonRounding::Bytes(joined, block, second, tile.out + m * block.out_pixel);
    });
  }

  template <int P>
  static EDGEAFF_INLINE void Image(Sums<2, P>& sums, const Tile& tile) {
    int32x4_t high[4], low[4];
    Join(sums[0][0], high);
    Join(sums[0][1], low);
    NeonRounding::Image(high, low, *tile.block, tile.out);
  }

  template <int P>
  static EDGEAFF_INLINE void Map(Sums<3, P>& sums, const Tile& tile) {
    int32x4_t high[4], middle[4], low[4];
    Join(sums[0][0], high);
    Join(sums[0][1], middle);
    Join(sums[0][2], low);
    NeonRounding::Map(high, middle, low, *tile.block, tile.out);
  }
};

int64_t Roof(int64_t repeats) {
  constexpr int kSums = 8;
  int32x4_t sums[kSums];
  EDGEAFF_FOR(i, kSums, { sums[i] = vdupq_n_s32(i); });
  int8x8_t values = vdup_n_s8(3);
  const int8x8_t weights = vdup_n_s8(5);
  for (int64_t r = 0; r < repeats; ++r) {
    EDGEAFF_FOR(i, kSums, {
      asm volatile("" : "+w"(values));  // or equal products are made once
      sums[i] = vpadalq_s16(sums[i], vmlal_s8(vmull_s8(weights, values), weights, values));
    });
  }
  EDGEAFF_FOR(i, kSums, { asm volatile("" : "+w"(sums[i])); });
  return repeats * kSums * 16;
}

}  // namespace

const Kernels kNeonKernels{
    "neon", Neon::kMostGroups, RunBlock<Neon>, nullptr, nullptr, PlainLuminanceRow, PlainStandardize, Roof, true};

}  // namespace edgeaff::nets
