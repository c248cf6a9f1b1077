// The second look of the face detector: what it finds at one place of a small image.
#pragma once
#include "vision/decode_maps.h"

namespace edgeaff {

constexpr float kNoFaceLogit = -8.0f, kMostLogit = 30.0f;

// Returns the highest score logit of all cells whose box overlaps `expected` (x0, y0, x1, y1 in input pixels) by at least
// least_iou, cut to [kNoFaceLogit, kMostLogit]; kNoFaceLogit without one. Thread-safe, allocates nothing.
// Twin: `best_logit_reference` in edgeaff/detection/decode.py.
float BestLogit(const DetectorMap* maps, int count, const float* expected, float least_iou);

}  // namespace edgeaff
