// affect_step: the packed model as a class; edgeaff/backends/native.py checks arguments.
#include "edgeaff/affect_step.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstring>
#include <string>

#include "bindings.h"
#include "packed_model.h"

namespace py = pybind11;

namespace edgeaff {
namespace {

WeightType TypeOf(const py::array& array, const std::string& name) {
  RequireNativeOrder(array, name);
  const char kind = array.dtype().kind();
  if (kind == 'f' && array.itemsize() == 4) return WeightType::kFloat32;
  if (kind == 'u' && array.itemsize() == 2) return WeightType::kBfloat16;
  if (kind == 'i' && array.itemsize() == 1) return WeightType::kInt8;
  throw std::invalid_argument(name + " is none of float32, uint16 (bf16 bits), int8");
}

std::unique_ptr<StepModel> MakeModel(const py::dict& sizes, const py::dict& arrays) {
  StepSizes made = CommonSizes<StepSizes>(sizes);
  made.band = sizes["band"].cast<int>();
  if (sizes.contains("spread_size")) made.spread_size = sizes["spread_size"].cast<int>();
  std::unordered_map<std::string, StepModel::Tensor> tensors;
  for (const auto& item : arrays) {
    const std::string name = py::str(item.first);
    if (!py::isinstance<py::array>(item.second)) throw std::invalid_argument(name + " is no array");
    const py::array array = py::reinterpret_borrow<py::array>(item.second);
    tensors[name] = {TypeOf(array, name), array.data(), ContiguousShape(array, name)};
  }
  return std::make_unique<StepModel>(made, tensors);
}

}  // namespace

void BindAffectStep(py::module_& module) {
  py::class_<StepModel>(module, "StepModel")
      .def(py::init(&MakeModel))
      .def_property_readonly("state_floats", &StepModel::state_floats)
      // (state, video or None, audio or None, copy) -> (values, state after); values: valence, arousal and the standard deviations
      // of their errors. With copy = false the state changes in place.
      .def("step",
           [](const StepModel& model, const FloatArray& state, const py::object& video, const py::object& audio,
              bool copy) {
             if (state.size() != model.state_floats()) throw std::invalid_argument("state has another size");
             const float* const seen = DataOrNull(video, model.sizes().video_size, "video");
             const float* const heard = DataOrNull(audio, model.sizes().audio_size, "audio");
             FloatArray next = state;
             if (copy) {
               next = FloatArray(state.size());
               std::memcpy(next.mutable_data(), state.data(), static_cast<size_t>(state.nbytes()));
             }
             FloatArray values(4);
             model.Step(next.mutable_data(), seen, heard, values.mutable_data());
             return py::make_tuple(values, next);
           })
      // (state, video or None, audio or None) -> the four values as numbers; the state is changed in place.
      .def(
          "advance",
          [](const StepModel& model, FloatArray& state, const py::object& video, const py::object& audio) {
            if (state.size() != model.state_floats()) throw std::invalid_argument("state has another size");
            const float* const seen = DataOrNull(video, model.sizes().video_size, "video");
            const float* const heard = DataOrNull(audio, model.sizes().audio_size, "audio");
            float values[4] = {};
            model.Step(state.mutable_data(), seen, heard, values);
            return py::make_tuple(values[0], values[1], values[2], values[3]);
          },
          py::arg("state").noconvert(), py::arg("video"), py::arg("audio"));
}

}  // namespace edgeaff
