#include "core_parts.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace edgeaff {

namespace py = pybind11;
using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;
using PixelArray = py::array_t<uint8_t, py::array::c_style>;

namespace {

[[noreturn]] void Raise(const py::object& type, const std::string& message) {
  PyErr_SetString(type.ptr(), message.c_str());
  throw py::error_already_set();
}

// True as long as a call lasts; for functions that Python might keep.
struct During {
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
  ~During() { *alive = false; }
};

std::string ShapeOf(const py::object& value) {
  return py::str(py::hasattr(value, "shape") ? value.attr("shape") : py::type::of(value).attr("__name__"));
}

// A crop as Python gives it; another size or type is an ArgumentError.
PixelArray CropOf(const py::object& value, int size, const PythonTypes& types) {
  if (py::isinstance<py::array>(value)) {
    const auto array = py::reinterpret_borrow<py::array>(value);
    if (array.ndim() == 3 && array.shape(0) == size && array.shape(1) == size && array.shape(2) == 3 &&
        array.dtype().kind() == 'u' && array.itemsize() == 1) {
      return PixelArray::ensure(array);
    }
  }
  const std::string side = std::to_string(size);
  Raise(types.argument_error,
        "crops must be (" + side + ", " + side + ", 3) uint8 RGB, got " + ShapeOf(value) + "; use crop().");
}

}  // namespace

std::shared_ptr<void> Carry(py::object object) {
  return {object.release().ptr(), [](void* held) {
            const py::gil_scoped_acquire gil;
            Py_DECREF(static_cast<PyObject*>(held));
          }};
}

py::object Carried(const std::shared_ptr<void>& carried) {
  return py::reinterpret_borrow<py::object>(static_cast<PyObject*>(carried.get()));
}

py::object PushedFrame::Of(const ImageView& view) const {
  if (image_ && image_.data() == view.data) return image_;
  const std::vector<py::ssize_t> shape = {view.height, view.width, 3};
  const std::vector<py::ssize_t> strides = {view.row_stride, view.pixel_stride, view.channel_stride};
  return py::array_t<uint8_t>(shape, strides, view.data);
}

double NumberOf(py::handle number) {
  const double value = PyFloat_AsDouble(number.ptr());
  if (value == -1.0 && PyErr_Occurred() != nullptr) throw py::error_already_set();
  return value;
}

FaceBox BoxOf(py::handle box) {
  const py::tuple values(py::reinterpret_borrow<py::object>(box));
  if (values.size() != 4) throw py::value_error("a box must have four numbers");
  return {NumberOf(values[0]), NumberOf(values[1]), NumberOf(values[2]), NumberOf(values[3])};
}

py::array_t<float> Floats(const float* values, py::ssize_t count) {
  py::array_t<float> array(count);
  std::copy_n(values, count, array.mutable_data());
  return array;
}

py::array_t<uint8_t> Pixels(const uint8_t* crop, int size) {
  const std::vector<py::ssize_t> shape = {size, size, 3};
  return py::array_t<uint8_t>(shape, crop);
}

py::object FaceOf(const FaceInput& face, const PythonTypes& types) {
  if (face.origin) return Carried(face.origin);
  const FaceBox& box = face.face.box;
  return types.face(face.face.track_id, types.box(box.x0, box.y0, box.x1, box.y1), face.face.score);
}

void PythonDetector::Detect(const ImageView& image, std::vector<FaceDetection>* found) {
  const py::gil_scoped_acquire gil;
  found->clear();
  for (const py::handle one : detector_.attr("detect")(frame_.Of(image))) {
    found->push_back({BoxOf(one.attr("box")), NumberOf(one.attr("score"))});
  }
}

void PythonEncoder::Encode(const uint8_t* crop, std::vector<float>* descriptor) {
  const py::gil_scoped_acquire gil;
  py::list crops;
  crops.append(Pixels(crop, size_));
  const FloatArray rows(encoder_.attr("encode_crops")(crops));
  if (rows.ndim() != 2 || rows.shape(0) != 1) throw py::value_error("encode_crops must give one descriptor per crop");
  descriptor->assign(rows.data(), rows.data() + rows.size());
}

bool PythonEncoder::Crop(const ImageView& image, const FaceBox& box, uint8_t* crop) {
  const py::gil_scoped_acquire gil;
  const py::object made = encoder_.attr("crop")(frame_.Of(image), types_.box(box.x0, box.y0, box.x1, box.y1));
  const PixelArray pixels = CropOf(made, size_, types_);
  std::copy_n(pixels.data(), pixels.size(), crop);
  return true;
}

void PythonNormalizer::Reset() {
  const py::gil_scoped_acquire gil;
  normalizer_.attr("reset")();
}

void PythonNormalizer::UpdateAndNormalize(const float* row, float* out) {
  const py::gil_scoped_acquire gil;
  const FloatArray made(normalizer_.attr("update_and_normalize")(Floats(row, kLldSize)));
  if (made.size() != kLldSize) throw py::value_error("update_and_normalize must give 65 numbers");
  std::copy_n(made.data(), kLldSize, out);
}

void PythonVoiceGate::Reset() {
  const py::gil_scoped_acquire gil;
  gate_.attr("reset")();
}

bool PythonVoiceGate::Push(const float* lld) {
  const py::gil_scoped_acquire gil;
  const int spoken = PyObject_IsTrue(gate_.attr("push")(Floats(lld, kLldSize)).ptr());
  if (spoken < 0) throw py::error_already_set();
  return spoken != 0;
}

void PythonTap::Faces(int64_t pts_ns, const std::function<void()>& find, std::vector<FaceInput>* faces) {
  const py::gil_scoped_acquire gil;
  const During during;
  const py::cpp_function finder([&, alive = during.alive] {
    if (!*alive) Raise(types_.state_error, "find must be called while the tap is asked; call it there.");
    find();
    py::list found;
    for (const FaceInput& one : *faces) {
      found.append(py::make_tuple(FaceOf(one, types_), Pixels(one.crop.data(), size_), one.face.detected_pts_ns));
    }
    return found;
  });
  const py::object given = tap_.attr("faces")(pts_ns, finder);
  std::vector<FaceInput> taken;
  for (const py::handle item : given) {
    const py::tuple row(py::reinterpret_borrow<py::object>(item));
    if (row.size() != 3) throw py::value_error("a tap must give faces as (face, crop, detected_pts_ns)");
    FaceInput face;
    face.face = {row[0].attr("track_id").cast<int64_t>(), BoxOf(row[0].attr("box")), NumberOf(row[0].attr("score")),
                 row[2].cast<int64_t>()};
    const PixelArray crop = CropOf(row[1], size_, types_);
    face.crop.assign(crop.data(), crop.data() + crop.size());
    face.origin = Carry(row[0]);
    taken.push_back(std::move(face));
  }
  faces->swap(taken);
}

void PythonTap::Rows(const std::function<void()>& pop, std::vector<float>* rows) {
  const py::gil_scoped_acquire gil;
  const During during;
  const py::cpp_function popper([&, alive = during.alive] {
    if (!*alive) Raise(types_.state_error, "pop must be called while the tap is asked; call it there.");
    pop();
    const std::vector<py::ssize_t> shape = {static_cast<py::ssize_t>(rows->size()) / kLldSize, kLldSize};
    return py::array_t<float>(shape, rows->data());
  });
  const FloatArray given(tap_.attr("rows")(popper));
  const bool shaped = given.ndim() == 2 && given.shape(1) == kLldSize;
  if (!shaped || !std::all_of(given.data(), given.data() + given.size(), [](float x) { return std::isfinite(x); })) {
    Raise(types_.argument_error,
          "rows must be finite with shape (n, 65), got " + ShapeOf(given) + "; a tap must give LLDs without deltas.");
  }
  rows->assign(given.data(), given.data() + given.size());
}

}  // namespace edgeaff
