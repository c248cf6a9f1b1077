// Binds csrc/vision/crop_resize; edgeaff/ops/crop_resize.py checks the arguments.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "bindings.h"
#include "vision/crop_resize.h"

namespace py = pybind11;

namespace edgeaff {
namespace {

constexpr py::ssize_t kMostPixels = 1 << 24;  // along an axis

ImageView ViewOf(const py::array& image, int format) {
  const bool has_channels =
      format == static_cast<int>(PixelFormat::kRgb) || format == static_cast<int>(PixelFormat::kBgr);
  const bool fits =
      image.itemsize() == 1 && image.ndim() == (has_channels ? 3 : 2) && (!has_channels || image.shape(2) == 3);
  if (!fits || format < 0 || format > static_cast<int>(PixelFormat::kNv12))
    throw py::value_error("crop_resize: image does not fit its format");
  if (image.shape(0) > kMostPixels || image.shape(1) > kMostPixels)
    throw py::value_error("crop_resize: image is too large");
  const PixelFormat pixel_format = static_cast<PixelFormat>(format);
  ImageView view{};
  view.data = static_cast<const uint8_t*>(image.data());
  view.format = pixel_format;
  view.height = static_cast<int>(pixel_format == PixelFormat::kNv12 ? image.shape(0) / 3 * 2 : image.shape(0));
  view.width = static_cast<int>(image.shape(1));
  view.row_stride = image.strides(0);
  view.pixel_stride = image.strides(1);
  view.channel_stride = image.ndim() == 3 ? image.strides(2) : 1;
  return view;
}

void Run(const ImageView& view, const CropBox& box, int height, int width, const Target& target) {
  bool done;
  {
    py::gil_scoped_release release;
    done = CropResize(view, box, height, width, target);
  }
  if (!done) throw py::value_error("crop_resize: arguments are outside the limits of vision/crop_resize.h");
}

py::array_t<uint8_t> Pixels(const py::array& image, double x0, double y0, double x1, double y1, int height, int width,
                            int format) {
  py::array_t<uint8_t> out({height, width, 3});
  Run(ViewOf(image, format), CropBox{x0, y0, x1, y1}, height, width, Target{out.mutable_data(), 3 * width, 0});
  return out;
}

// The result at the upper left of `out`, (3, canvas height, canvas width) uint8, packed; what lies beside it is left unchanged.
void Planes(const py::array& image, double x0, double y0, double x1, double y1, int height, int width,
            py::array_t<uint8_t, py::array::c_style>& out, int format) {
  if (out.ndim() != 3 || out.shape(0) != 3 || out.shape(1) < height || out.shape(2) < width) {
    throw py::value_error("crop_resize: out does not hold the result");
  }
  const ptrdiff_t row = out.shape(2), plane = row * out.shape(1);
  Run(ViewOf(image, format), CropBox{x0, y0, x1, y1}, height, width, Target{out.mutable_data(), row, plane});
}

}  // namespace

void BindCropResize(py::module_& module) {
  module.def("crop_resize", &Pixels);
  module.def("crop_resize_planes", &Planes, py::arg(), py::arg(), py::arg(), py::arg(), py::arg(), py::arg(), py::arg(),
             py::arg().noconvert(), py::arg());
}

}  // namespace edgeaff
