// Binds csrc/vision/thumbnail; edgeaff/ops/thumbnail.py checks the argument.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "bindings.h"
#include "vision/thumbnail.h"

namespace py = pybind11;

namespace edgeaff {
namespace {

py::array_t<float> GreyThumbnailArray(const py::array& image) {
  py::array_t<float> out({kThumbnailSize, kThumbnailSize});
  GreyThumbnail(static_cast<const uint8_t*>(image.data()), static_cast<int>(image.shape(0)), static_cast<int>(image.shape(1)),
                image.strides(0), image.strides(1), image.strides(2), out.mutable_data());
  return out;
}

}  // namespace

void BindThumbnail(py::module_& module) { module.def("grey_thumbnail", &GreyThumbnailArray); }

}  // namespace edgeaff
