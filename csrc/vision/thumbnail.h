// A small gray view of an image, to notice shot cuts: 32 x 32 cells, each the mean of 4 x 4 points of the image.
// NumPy twin: edgeaff/ops/reference_vision.py.
#pragma once
#include <cstddef>
#include <cstdint>

namespace edgeaff {

constexpr int kThumbnailSize = 32;
constexpr int kPointsPerCell = 4;

constexpr int kGrayScale = 1000 * kPointsPerCell * kPointsPerCell;  // of a sum, per level of gray

// image: height x width pixels of three bytes RGB at data + y * row_stride + x * pixel_stride + c * channel_stride (strides of
// any sign). out: 32 x 32 floats in [0, 255], rows first: 0.299 R + 0.587 G + 0.114 B, summed in integers, so that the result
// is the same on every processor. Thread-safe.
void GrayThumbnail(const uint8_t* data, int height, int width, ptrdiff_t row_stride, ptrdiff_t pixel_stride,
                   ptrdiff_t channel_stride, float* out);

// The same in integers: levels * kGrayScale.
void GraySums(const uint8_t* data, int height, int width, ptrdiff_t row_stride, ptrdiff_t pixel_stride,
              ptrdiff_t channel_stride, int32_t* out);

}  // namespace edgeaff
