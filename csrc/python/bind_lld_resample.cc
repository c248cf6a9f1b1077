// edgeaff.ops._C.Resampler: NumPy arrays in and out around csrc/lld/resample.h.
// Arguments are checked in edgeaff/features/resample.py; here only what would be unsafe.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "bindings.h"
#include "lld/resample.h"

namespace edgeaff {
namespace {

namespace py = pybind11;
using FloatArray = py::array_t<float, py::array::c_style>;
using Int16Array = py::array_t<int16_t, py::array::c_style>;

template <typename Array>
FloatArray Push(Resampler& self, const Array& samples) {
  const size_t n = static_cast<size_t>(samples.size());
  FloatArray output(static_cast<py::ssize_t>(self.OutputsOfPush(n)));
  float* target = output.mutable_data();
  self.Push(samples.data(), n, target);  // with the GIL: 0.3 ms per second of audio, and it keeps the object consistent
  return output;
}

}  // namespace

void BindLldResample(py::module_& module) {
  py::class_<Resampler>(module, "Resampler")
      .def(py::init([](int input_rate_hz, int output_rate_hz) {
             for (int rate : {input_rate_hz, output_rate_hz}) {
               if (rate < Resampler::kLowestRateHz || rate > Resampler::kHighestRateHz) {
                 throw py::value_error("rates must be in [8000, 768000]");
               }
             }
             return new Resampler(input_rate_hz, output_rate_hz);
           }),
           py::arg("input_rate_hz"), py::arg("output_rate_hz"))
      .def("push", &Push<FloatArray>, py::arg("samples").noconvert())
      .def("push", &Push<Int16Array>, py::arg("samples").noconvert())
      .def("finish",
           [](Resampler& self) {
             FloatArray output(static_cast<py::ssize_t>(self.OutputsOfFinish()));
             self.Finish(output.mutable_data());
             return output;
           })
      .def("reset", &Resampler::Reset)
      .def_property_readonly("delay_ns", &Resampler::delay_ns);
}

}  // namespace edgeaff
