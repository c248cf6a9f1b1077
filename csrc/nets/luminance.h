// The face encoder's front in integers, for every instruction set: luminance in quarters of a gray level.
//
//   y(x)   = sum over the 2x2 square of (R, G, B) . weights - 32640      exact: 256 * gray level, around 0; the weights
//   sum to 64 out(x) = round(y / 64)                                               half to even; -510 .. 510
//
// and its standardization. All sums are exact, so the float operations below have one result on every processor and in
// every engine that runs the same operations of the ONNX graph (edgeaff/export/face_graphs.py).
//
//   mean = sum / n;  m = round(mean);  v = out - m;  a = round(v / 32);  r = v - 32 a
//   variance = (1024 sum(a a) + 64 sum(a r) + sum(r r)) / n - (mean - m)^2
//   byte = clamp(round((v - (mean - m)) / sqrt(variance + epsilon) / step) + zero)
#pragma once
#include <algorithm>
#include <cmath>

#include "nets/convolve.h"

namespace edgeaff::nets {
namespace {

constexpr int kMiddle = 32640;  // 256 * 127.5

inline int16_t QuarterLevels(int y) {
  const int centered = y - kMiddle;
  return static_cast<int16_t>((centered + 31 + ((centered >> 6) & 1)) >> 6);
}

inline void PlainLuminanceRow(const LuminanceRow& row) {
  const int r = row.weights[0], g = row.weights[1], b = row.weights[2];
  for (int x = 0; x < row.columns; ++x) {
    const uint8_t *top = row.top + 6 * x, *bottom = row.bottom + 6 * x;
    const int red = top[0] + top[3] + bottom[0] + bottom[3], green = top[1] + top[4] + bottom[1] + bottom[4],
              blue = top[2] + top[5] + bottom[2] + bottom[5];
    row.out[x] = QuarterLevels(r * red + g * green + b * blue);
  }
}

// Half to even; exact for the small whole numbers here.
inline int RoundQuotient32(int v) { return (v + 15 + ((v >> 5) & 1)) >> 5; }

struct Mean {
  int whole;
  float rest;
};

inline Mean MeanOf(int sum, int count) {
  const float mean = static_cast<float>(sum) / static_cast<float>(count), whole = std::nearbyint(mean);
  return {static_cast<int>(whole), mean - whole};
}

inline float Deviation(int coarse, int mixed, int fine, const Mean& mean, int count, float epsilon) {
  const float squares =
      (1024.0f * static_cast<float>(coarse) + 64.0f * static_cast<float>(mixed)) + static_cast<float>(fine);
  return std::sqrt((squares / static_cast<float>(count) - mean.rest * mean.rest) + epsilon);
}

inline void PlainStandardize(const Standardization& all) {
  const int count = all.rows * all.columns;
  int sum = 0;
  for (int i = 0; i < count; ++i) sum += all.levels[i];
  const Mean mean = MeanOf(sum, count);
  int coarse = 0, mixed = 0, fine = 0;
  for (int i = 0; i < count; ++i) {
    const int v = all.levels[i] - mean.whole, a = RoundQuotient32(v), r = v - 32 * a;
    coarse += a * a, mixed += a * r, fine += r * r;
  }
  const float deviation = Deviation(coarse, mixed, fine, mean, count, all.epsilon);
  for (int y = 0; y < all.rows; ++y) {
    const int16_t* const levels = all.levels + y * all.columns;
    uint8_t* const out = all.out + y * all.out_row;
    for (int x = 0; x < all.columns; ++x) {
      const float z = (static_cast<float>(levels[x] - mean.whole) - mean.rest) / deviation / all.step;
      const float q = std::nearbyint(z) + static_cast<float>(all.zero);
      out[x] = static_cast<uint8_t>(std::min(std::max(q, 0.0f), 255.0f));
    }
  }
}

}  // namespace
}  // namespace edgeaff::nets
