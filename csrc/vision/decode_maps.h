// From the maps of our single-shot face detector to faces: candidates, non-maximum suppression, votes of the rivals.
// NumPy twin: edgeaff/detection/decode.py (decode_maps_reference); agreement is tested in tests/detection/test_decode.py.
#pragma once
#include <cstddef>
#include <vector>

namespace edgeaff {

// One map: 15 values for each of rows x columns cells. Per cell: score logit; box center (dx, dy) in strides from the cell's
// center; logarithms of width and height in strides; five points (x, y) in strides from the cell's center.
struct DetectorMap {
  const float* data;
  int rows, columns, stride;  // stride in input pixels
  ptrdiff_t value_step,
      cell_step;  // floats from one value to the next, from one cell to the next: planes, or values together
};

struct DecodeRules {
  float score_limit;    // logit above which a face counts
  float vote_margin;    // candidates this much below it have a vote
  int most_candidates;  // the best this many are looked at
  float suppress_iou;   // a candidate that overlaps a better one by more is dropped
  float vote_iou;       // candidates that overlap a kept one by at least this have a vote
};

constexpr int kFacePoints = 5;

struct DecodedFace {
  float box[4];  // x0, y0, x1, y1 in input pixels
  float score;   // in (0, 1)
  float points[2 * kFacePoints];
};

// Returns the faces, best first. Thread-safe.
std::vector<DecodedFace> DecodeMaps(const DetectorMap* maps, int count, const DecodeRules& rules);

}  // namespace edgeaff
