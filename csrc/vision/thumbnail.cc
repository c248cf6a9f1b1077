// See thumbnail.h.
#include "vision/thumbnail.h"

#include <algorithm>
#include <array>

namespace edgeaff {
namespace {

constexpr int kSide = kThumbnailSize * kPointsPerCell;

// Point i of kSide along an axis: the pixel under the middle of its share.
ptrdiff_t PointAt(int i, int size) {
  return static_cast<ptrdiff_t>((2 * i + 1) * static_cast<int64_t>(size) / (2 * kSide));
}

}  // namespace

void GraySums(const uint8_t* data, int height, int width, ptrdiff_t row_stride, ptrdiff_t pixel_stride,
              ptrdiff_t channel_stride, int32_t* out) {
  std::array<ptrdiff_t, kSide> columns;
  for (int i = 0; i < kSide; ++i) columns[i] = PointAt(i, width) * pixel_stride;
  for (int cell_row = 0; cell_row < kThumbnailSize; ++cell_row) {
    int32_t* const sums = out + cell_row * kThumbnailSize;
    std::fill_n(sums, kThumbnailSize, 0);
    for (int k = 0; k < kPointsPerCell; ++k) {
      const uint8_t* row = data + PointAt(cell_row * kPointsPerCell + k, height) * row_stride;
      for (int i = 0; i < kSide; ++i) {
        const uint8_t* pixel = row + columns[i];
        sums[i / kPointsPerCell] += 299 * pixel[0] + 587 * pixel[channel_stride] + 114 * pixel[2 * channel_stride];
      }
    }
  }
}

void GrayThumbnail(const uint8_t* data, int height, int width, ptrdiff_t row_stride, ptrdiff_t pixel_stride,
                   ptrdiff_t channel_stride, float* out) {
  std::array<int32_t, kThumbnailSize * kThumbnailSize> sums;
  GraySums(data, height, width, row_stride, pixel_stride, channel_stride, sums.data());
  for (size_t i = 0; i < sums.size(); ++i) out[i] = static_cast<float>(sums[i] / static_cast<double>(kGrayScale));
}

}  // namespace edgeaff
