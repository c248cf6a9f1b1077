// See second_look.h.
#include "vision/second_look.h"

#include <algorithm>
#include <cmath>

namespace edgeaff {
namespace {

constexpr float kLogSizeLimit = 4.0f;

float Area(const float* box) { return std::max(box[2] - box[0], 0.0f) * std::max(box[3] - box[1], 0.0f); }

float Iou(const float* a, const float* b) {
  const float width = std::min(a[2], b[2]) - std::max(a[0], b[0]), height = std::min(a[3], b[3]) - std::max(a[1], b[1]);
  const float inter = std::max(width, 0.0f) * std::max(height, 0.0f);
  return inter / std::max(Area(a) + Area(b) - inter, 1e-9f);
}

}  // namespace

float BestLogit(const DetectorMap* maps, int count, const float* expected, float least_iou) {
  float best = kNoFaceLogit;
  for (int m = 0; m < count; ++m) {
    const DetectorMap& map = maps[m];
    const float stride = static_cast<float>(map.stride);
    for (int cell = 0; cell < map.rows * map.columns; ++cell) {
      const float* value = map.data + cell * map.cell_step;
      if (!(value[0] > best)) continue;
      const float x = (static_cast<float>(cell % map.columns) + 0.5f) * stride + value[map.value_step] * stride;
      const float y = (static_cast<float>(cell / map.columns) + 0.5f) * stride + value[2 * map.value_step] * stride;
      const auto half = [&](int k) {
        return std::exp(std::min(std::max(value[k * map.value_step], -kLogSizeLimit), kLogSizeLimit)) * (stride / 2);
      };
      const float half_width = half(3), half_height = half(4);
      const float box[4] = {x - half_width, y - half_height, x + half_width, y + half_height};
      if (Iou(expected, box) >= least_iou) best = std::min(value[0], kMostLogit);
    }
  }
  return best;
}

}  // namespace edgeaff
