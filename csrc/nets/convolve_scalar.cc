// One product at a time, for any processor: what the other instruction sets must equal.
#include <cmath>

#include "nets/convolve_tiles.h"
#include "nets/luminance.h"

namespace edgeaff::nets {
namespace {

uint8_t ToByte(float value) { return static_cast<uint8_t>(std::min(std::max(value, 0.0f), 255.0f)); }

struct Scalar {
  template <int N, int P>
  struct Sums {
    int32_t at[P][N][kGroup];
  };
  static constexpr int kMostGroups = 1;
  static constexpr int kMostPixels[] = {1};
  static constexpr int kImagePixels = 1, kMapPixels = 1;

  template <int N, int P>
  static void Start(Sums<N, P>& sums, const int32_t* start) {
    for (int n = 0; n < N; ++n) std::copy(start + kGroup * n, start + kGroup * (n + 1), sums.at[0][n]);
  }

  template <int N, int P>
  static const int8_t* Row(Sums<N, P>& sums, const uint8_t* run, ptrdiff_t, int bytes, const int8_t* w) {
    for (int k = 0; k < bytes; k += 4) {
      for (int n = 0; n < N; ++n, w += kUnitBytes) {
        for (int o = 0; o < kGroup; ++o) {
          for (int i = 0; i < 4; ++i) sums.at[0][n][o] += run[k + i] * w[4 * o + i];
        }
      }
    }
    return w;
  }

  template <int N, int P>
  static void Bytes(Sums<N, P>& sums, const Tile& tile, const uint8_t* run, const int8_t* w) {
    Row<N, P>(sums, run, 0, kRunMultiple, w);
    const Block& block = *tile.block;
    const Second& second = block.second;
    for (int o = 0; o < kGroup; ++o) {
      const float q =
          std::nearbyint(static_cast<float>(sums.at[0][0][o]) * block.scale[o]) + static_cast<float>(block.zero);
      if (second.data == nullptr) {
        tile.out[o] = ToByte(q);
        continue;
      }
      const float own = ToByte(q), other = tile.second[o];
      const float sum = second.is_first ? std::fma(other, second.factor, std::fma(own, second.own, second.constant))
                                        : std::fma(own, second.own, std::fma(other, second.factor, second.constant));
      tile.out[o] = ToByte(std::nearbyint(sum));
    }
  }

  template <int P>
  static void Image(const Sums<2, P>& sums, const Tile& tile) {
    const Block& block = *tile.block;
    for (int o = 0; o < kGroup; ++o) {
      const auto sum = static_cast<float>(128 * sums.at[0][0][o] + sums.at[0][1][o]);
      tile.out[o] = ToByte(std::nearbyint(sum * block.scale[o]) + static_cast<float>(block.zero));
    }
  }

  template <int P>
  static void Map(const Sums<3, P>& sums, const Tile& tile) {
    const Block& block = *tile.block;
    auto* const out = reinterpret_cast<float*>(tile.out);
    for (int o = 0; o < kGroup; ++o) {
      const auto fine = static_cast<float>(128 * sums.at[0][1][o] + sums.at[0][2][o]);
      const float sum = std::fma(static_cast<float>(sums.at[0][0][o]), 16384.0f, fine);
      out[o] = std::fma(sum, block.scale[o], block.offset[o]);
    }
  }
};

int64_t Roof(int64_t repeats) {
  int32_t sums[kGroup] = {};
  for (int64_t r = 0; r < repeats; ++r) {
    for (int o = 0; o < kGroup; ++o) sums[o] += static_cast<uint8_t>(r + o) * static_cast<int8_t>(3 * o);
  }
  volatile int32_t keep = sums[repeats % kGroup];
  (void)keep;
  return repeats * kGroup;
}

}  // namespace

const Kernels kScalarKernels{"scalar", Scalar::kMostGroups, RunBlock<Scalar>, nullptr,
                             nullptr,  PlainLuminanceRow,   PlainStandardize, Roof};

}  // namespace edgeaff::nets
