// Binds csrc/vision/thumbnail; edgeaff/ops/thumbnail.py checks the argument.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "bindings.h"
#include "vision/thumbnail.h"

namespace py = pybind11;

namespace edgeaff {
namespace {

constexpr py::ssize_t kMostPixels = 1 << 24;  // along an axis

py::array_t<float> GrayThumbnailArray(const py::array& image) {
  if (image.itemsize() != 1 || image.ndim() != 3 || image.shape(2) != 3 || image.size() == 0 ||
      image.shape(0) > kMostPixels || image.shape(1) > kMostPixels) {
    throw py::value_error("gray_thumbnail: image must be (H, W, 3) uint8");
  }
  py::array_t<float> out({kThumbnailSize, kThumbnailSize});
  GrayThumbnail(static_cast<const uint8_t*>(image.data()), static_cast<int>(image.shape(0)),
                static_cast<int>(image.shape(1)), image.strides(0), image.strides(1), image.strides(2),
                out.mutable_data());
  return out;
}

}  // namespace

void BindThumbnail(py::module_& module) { module.def("gray_thumbnail", &GrayThumbnailArray); }

}  // namespace edgeaff
