// Binds csrc/vision/decode_maps; edgeaff/detection/decode.py names the rules.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "bindings.h"
#include "vision/decode_maps.h"
#include "vision/second_look.h"

namespace py = pybind11;

namespace edgeaff {
namespace {

constexpr py::ssize_t kMostCells = 1 << 12;  // along an axis

using FloatArray = py::array_t<float, py::array::forcecast>;
using DenseArray = py::array_t<float, py::array::c_style | py::array::forcecast>;

// A map (15, rows, columns) as planes or with the values of a cell together; any other layout is copied. `kept` owns it.
DetectorMap ViewOf(FloatArray map, int stride, std::vector<FloatArray>& kept) {
  constexpr py::ssize_t kSize = sizeof(float);
  if (map.ndim() != 3 || map.shape(0) != 5 + 2 * kFacePoints)
    throw py::value_error("decode_maps: maps must be (15, H, W)");
  if (map.shape(1) > kMostCells || map.shape(2) > kMostCells || stride < 1)
    throw py::value_error("decode_maps: map is too large");
  const bool whole = map.strides(0) % kSize == 0 && map.strides(2) % kSize == 0;
  if (!whole || map.strides(1) != map.shape(2) * map.strides(2)) map = DenseArray::ensure(map);
  if (!map || reinterpret_cast<uintptr_t>(map.data()) % alignof(float) != 0)
    throw py::value_error("decode_maps: map cannot be read in place");
  kept.push_back(map);
  const int rows = static_cast<int>(map.shape(1)), columns = static_cast<int>(map.shape(2));
  return {map.data(), rows, columns, stride, map.strides(0) / kSize, map.strides(2) / kSize};
}

// (maps of shape (15, rows, columns), strides, five rules) -> boxes (n, 4), scores (n), points (n, 5, 2).
py::tuple Decode(const std::vector<FloatArray>& maps, const std::vector<int>& strides, float score_limit,
                 float vote_margin, int most_candidates, float suppress_iou, float vote_iou) {
  if (maps.size() != strides.size()) throw py::value_error("decode_maps: one stride per map");
  std::vector<FloatArray> kept;
  std::vector<DetectorMap> views;
  for (size_t i = 0; i < maps.size(); ++i) views.push_back(ViewOf(maps[i], strides[i], kept));
  const DecodeRules rules{score_limit, vote_margin, most_candidates, suppress_iou, vote_iou};
  const std::vector<DecodedFace> faces = DecodeMaps(views.data(), static_cast<int>(views.size()), rules);
  const py::ssize_t count = static_cast<py::ssize_t>(faces.size());
  py::array_t<float> boxes({count, py::ssize_t{4}}), scores(count);
  py::array_t<float> points({count, py::ssize_t{kFacePoints}, py::ssize_t{2}});
  float *box = boxes.mutable_data(), *score = scores.mutable_data(), *point = points.mutable_data();
  for (const DecodedFace& face : faces) {
    box = std::copy(std::begin(face.box), std::end(face.box), box);
    *score++ = face.score;
    point = std::copy(std::begin(face.points), std::end(face.points), point);
  }
  return py::make_tuple(boxes, scores, points);
}

// (maps, strides, box of four numbers, least overlap) -> highest logit there.
float Best(const std::vector<FloatArray>& maps, const std::vector<int>& strides, const std::vector<float>& expected,
           float least_iou) {
  if (maps.size() != strides.size() || expected.size() != 4)
    throw py::value_error("best_logit: one stride per map, a box of 4");
  std::vector<FloatArray> kept;
  std::vector<DetectorMap> views;
  for (size_t i = 0; i < maps.size(); ++i) views.push_back(ViewOf(maps[i], strides[i], kept));
  return BestLogit(views.data(), static_cast<int>(views.size()), expected.data(), least_iou);
}

}  // namespace

void BindDecodeMaps(py::module_& module) {
  module.def("decode_maps", &Decode);
  module.def("best_logit", &Best);
}

}  // namespace edgeaff
