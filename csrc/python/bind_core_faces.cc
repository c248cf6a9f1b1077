// edgeaff.ops._C: face tracker and assignment of csrc/core, for edgeaff/ops/core.py.
#include <optional>
#include <tuple>
#include <vector>

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings.h"
#include "core/assignment.h"
#include "core/face_tracker.h"
#include "vision/thumbnail.h"

namespace edgeaff {
namespace {

namespace py = pybind11;
using DoubleArray = py::array_t<double, py::array::c_style | py::array::forcecast>;
using Found = std::tuple<double, double, double, double, double>;  // box and score

py::list Update(FaceTracker& self, int64_t pts_ns, const std::optional<py::array_t<uint8_t>>& image,
                const std::optional<std::vector<Found>>& detections) {
  if (self.pts_ns() && pts_ns <= *self.pts_ns()) throw py::value_error("pts_ns must rise");
  int32_t sums[kThumbnailSize * kThumbnailSize];
  if (image) {
    if (image->ndim() != 3 || image->shape(2) != 3 || image->size() == 0 || image->shape(0) > 1 << 24 ||
        image->shape(1) > 1 << 24) {
      throw py::value_error("image must be (H, W, 3) uint8");
    }
    GraySums(image->data(), static_cast<int>(image->shape(0)), static_cast<int>(image->shape(1)), image->strides(0),
             image->strides(1), image->strides(2), sums);
  }
  std::vector<FaceDetection> found;
  if (detections) {
    for (const auto& [x0, y0, x1, y1, score] : *detections) found.push_back({{x0, y0, x1, y1}, score});
  }
  py::list faces;
  for (const TrackedFace& face : self.Update(pts_ns, image ? sums : nullptr, detections ? &found : nullptr)) {
    faces.append(py::make_tuple(face.track_id, py::make_tuple(face.box.x0, face.box.y0, face.box.x1, face.box.y1),
                                face.score, face.detected_pts_ns));
  }
  return faces;
}

}  // namespace

void BindCoreFaces(py::module_& module) {
  py::class_<FaceTracker>(module, "FaceTracker")
      .def(py::init([](int max_faces, int64_t staleness_ns) {
             if (max_faces < 1 || staleness_ns <= 0)
               throw py::value_error("max_faces and staleness_ns must be positive");
             return FaceTracker(max_faces, staleness_ns);
           }),
           py::arg("max_faces"), py::arg("staleness_ns"))
      .def("reset", &FaceTracker::Reset)
      .def("update", &Update, py::arg("pts_ns"), py::arg("image"), py::arg("detections"))
      .def_property_readonly("pts_ns", &FaceTracker::pts_ns)
      .def_property_readonly("cuts", &FaceTracker::cuts);
  module.def("assign", [](const DoubleArray& cost) {
    if (cost.ndim() != 2 || cost.shape(0) > 1 << 12 || cost.shape(1) > 1 << 12)
      throw py::value_error("cost must be (n, m)");
    Assigner assigner;
    return assigner.Assign(cost.data(), static_cast<int>(cost.shape(0)), static_cast<int>(cost.shape(1)));
  });
}

}  // namespace edgeaff
