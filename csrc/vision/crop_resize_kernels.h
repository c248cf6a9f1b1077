// The two inner loops of crop_resize, one implementation per instruction set, all with the same bytes as the scalar one.
//
// Weights are Q14 (sum exactly 16384). Down the columns first: bytes -> Q7 in int16 (at most 255 * 128 = 32640), because
// rows are contiguous and pixels of one channel are not; then along the row: Q7 -> int32 in Q21.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace edgeaff::crop_resize {

constexpr int kWeightBits = 14;
constexpr int kColumnShift = 7;  // Q14 -> Q7
constexpr int kRowShift = 21;    // Q7 * Q14 -> Q0
constexpr int kSlack = 16;       // int16 values that a kernel may read behind the last column

// For each output index: source indices first[j] .. first[j] + count[j] - 1 and their weights at j * stride, zero-padded to
// `stride`, a multiple of 8.
struct AxisTable {
  std::vector<int32_t> first, count;
  std::vector<int16_t> weights;
  int stride = 0;
};

// out[x] = (sum_k weights[k] * rows[k][x] + 64) >> 7 for x < n. `count` is even (a padded row has weight 0).
using BlendRows = void (*)(const uint8_t* const* rows, const int16_t* weights, int count, int n, int16_t* out);

// out[j * S + c] = sum_k weight[j][k] * row[(first[j] - base + k) * C + c], Q21, for every output index j. S = SumStride(C):
// three channels take four places, so that a pixel is one 16-byte store; what lies in the fourth means nothing.
using FilterRow = void (*)(const int16_t* row, const AxisTable& table, int base, int32_t* out);
constexpr int SumStride(int channels) { return channels == 3 ? 4 : channels; }

// Rounds the sums of one row of three channels to bytes, into one row per channel: planes[c][x], x < width.
using PackPlanes = void (*)(const int32_t* sums, int width, uint8_t* const planes[3]);

// The same into packed pixels: out[3 * x + c].
using PackPixels = void (*)(const int32_t* sums, int width, uint8_t* out);

struct Kernels {
  BlendRows blend;
  FilterRow filter[3];  // for 1, 2 and 3 channels
  PackPixels pixels;
  PackPlanes planes;
};

inline uint8_t RoundSum(int32_t sum) { return static_cast<uint8_t>((sum + (1 << (kRowShift - 1))) >> kRowShift); }

Kernels ScalarKernels();
Kernels Avx2Kernels();
Kernels Avx512Kernels();
Kernels NeonKernels();

}  // namespace edgeaff::crop_resize
