// Binds csrc/vision/crop_resize; edgeaff/ops/crop_resize.py checks the arguments.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "bindings.h"
#include "vision/crop_resize.h"

namespace py = pybind11;

namespace edgeaff {
namespace {

py::array_t<uint8_t> CropResizeArray(const py::array& image, double x0, double y0, double x1, double y1, int height, int width,
                                     int format) {
  const PixelFormat pixel_format = static_cast<PixelFormat>(format);
  ImageView view{};
  view.data = static_cast<const uint8_t*>(image.data());
  view.format = pixel_format;
  view.height = static_cast<int>(pixel_format == PixelFormat::kNv12 ? image.shape(0) / 3 * 2 : image.shape(0));
  view.width = static_cast<int>(image.shape(1));
  view.row_stride = image.strides(0);
  view.pixel_stride = image.strides(1);
  view.channel_stride = image.ndim() == 3 ? image.strides(2) : 1;
  py::array_t<uint8_t> out({height, width, 3});
  uint8_t* target = out.mutable_data();
  bool done;
  {
    py::gil_scoped_release release;
    done = CropResize(view, CropBox{x0, y0, x1, y1}, height, width, target);
  }
  if (!done) throw py::value_error("crop_resize: arguments are outside the limits of vision/crop_resize.h");
  return out;
}

}  // namespace

void BindCropResize(py::module_& module) { module.def("crop_resize", &CropResizeArray); }

}  // namespace edgeaff
