// window_step: the packed model as a class; edgeaff/backends/native_window.py checks arguments.
#include "edgeaff/window_step.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

#include "bindings.h"
#include "packed_model.h"

namespace py = pybind11;

namespace edgeaff {
namespace {

std::unique_ptr<WindowStepModel> MakeModel(const py::dict& sizes, const py::dict& arrays) {
  WindowSizes made = CommonSizes<WindowSizes>(sizes);
  made.ticks = sizes["ticks"].cast<int>();
  std::unordered_map<std::string, WindowStepModel::Tensor> tensors;
  for (const auto& item : arrays) {
    const std::string name = py::str(item.first);
    if (!py::isinstance<py::array>(item.second)) throw std::invalid_argument(name + " is no array");
    const py::array array = py::reinterpret_borrow<py::array>(item.second);
    RequireNativeOrder(array, name);
    const bool is_byte = array.dtype().kind() == 'i' && array.itemsize() == 1;
    const bool is_float = array.dtype().kind() == 'f' && array.itemsize() == 4;
    if (!is_byte && !is_float) throw std::invalid_argument(name + " is neither int8 nor float32");
    tensors[name] = {is_byte, array.data(), ContiguousShape(array, name)};
  }
  return std::make_unique<WindowStepModel>(made, tensors);
}

}  // namespace

void BindWindowStep(py::module_& module) {
  py::class_<WindowStepModel>(module, "WindowStepModel")
      .def(py::init(&MakeModel))
      // (video or None, audio or None) -> row
      .def("append",
           [](const WindowStepModel& model, const py::object& video, const py::object& audio) {
             const float* const seen = DataOrNull(video, model.sizes().video_size, "video");
             const float* const heard = DataOrNull(audio, model.sizes().audio_size, "audio");
             FloatArray row(model.row_floats());
             model.Append(seen, heard, row.mutable_data());
             return row;
           })
      // (rows of at most T - 1 ticks before, oldest first; video or None; audio or None; threads) -> (values, row)
      .def("step", [](const WindowStepModel& model, const py::tuple& before, const py::object& video,
                      const py::object& audio, int threads) {
        const size_t room = static_cast<size_t>(model.sizes().ticks) - 1;
        if (before.size() > room) throw std::invalid_argument("rows are more than the window has");
        std::vector<const float*> rows(room, nullptr);
        for (size_t i = 0; i < before.size(); ++i) {
          if (!py::isinstance<FloatArray>(before[i])) throw std::invalid_argument("a row is not contiguous float32");
          const auto row = py::reinterpret_borrow<FloatArray>(before[i]);
          if (row.size() != model.row_floats()) throw std::invalid_argument("a row has another size");
          rows[room - before.size() + i] = row.data();
        }
        FloatArray row(model.row_floats()), values(2);
        const float* const seen = DataOrNull(video, model.sizes().video_size, "video");
        const float* const heard = DataOrNull(audio, model.sizes().audio_size, "audio");
        float* const made = row.mutable_data();
        float* const found = values.mutable_data();
        {
          const py::gil_scoped_release released;
          model.Step(rows.data(), seen, heard, threads, made, found);
        }
        return py::make_tuple(values, row);
      });
}

}  // namespace edgeaff
