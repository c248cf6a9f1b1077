// Crops a box out of a uint8 image and resizes it to 8-bit RGB in one pass: area-averaged along an axis that shrinks,
// bilinear along one that grows, the border replicated. Integer arithmetic behind the weight tables: every instruction
// set, and the NumPy twin edgeaff/ops/reference_vision.py, give the same bytes (tests/ops/test_crop_resize.py).
#pragma once
#include <cstddef>
#include <cstdint>

namespace edgeaff {

enum class PixelFormat { kRgb = 0, kBgr = 1, kGray = 2, kNv12 = 3 };

// An image in memory that stays the caller's. Strides in bytes, of any sign.
//   kRgb, kBgr: data + y * row_stride + x * pixel_stride + c * channel_stride, c in 0..2.
//   kGray:      data + y * row_stride + x * pixel_stride.
//   kNv12:      `height` rows of luma, then height / 2 rows of interleaved U, V from row `height` on;
//               pixel_stride must be 1, width and height even. BT.601 limited range, chroma not interpolated.
struct ImageView {
  const uint8_t* data;
  int height, width;  // of the image (luma), >= 1
  ptrdiff_t row_stride, pixel_stride, channel_stride;
  PixelFormat format;
  const uint8_t* chroma = nullptr;  // kNv12: U, V where they do not follow the luma
  ptrdiff_t chroma_row_stride = 0;  // with `chroma` only
};

// The box in pixels, half-open, pixel i covering [i, i + 1); it may reach out of the image. x1 > x0, y1 > y0, all finite
// and within +-kMaxCoordinate.
struct CropBox {
  double x0, y0, x1, y1;
};

constexpr double kMaxCoordinate = 1e6;

// Where the result goes; strides in bytes, positive. plane_stride 0: packed pixels, data[y * row_stride + 3 * x + c];
// else planes, data[c * plane_stride + y * row_stride + x].
struct Target {
  uint8_t* data;
  ptrdiff_t row_stride, plane_stride;
};

// Writes height x width pixels of three bytes, RGB, to `target`. Thread-safe. Returns false where an argument breaks the
// rules above or a size is not in 1..16384.
bool CropResize(const ImageView& image, const CropBox& box, int height, int width, const Target& target);

}  // namespace edgeaff
