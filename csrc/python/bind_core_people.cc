// edgeaff.ops._C: what is usual for a subject, and what changed, for edgeaff/ops/people.py.
#include <vector>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings.h"
#include "core/change_detector.h"
#include "core/usual_value.h"

namespace edgeaff {
namespace py = pybind11;

void BindCorePeople(py::module_& module) {
  py::class_<UsualValue>(module, "UsualValue")
      .def(py::init([](const std::vector<double>& weights) {
             UsualValue value;
             value.Restore(weights);
             return value;
           }),
           py::arg("weights"))
      .def("push", &UsualValue::Push, py::arg("value"))
      .def("relative", &UsualValue::Relative, py::arg("value"))
      .def_property_readonly("center", &UsualValue::Center)
      .def_property_readonly("scale", &UsualValue::Scale)
      .def_property_readonly("seconds", &UsualValue::Seconds)
      .def_property_readonly("weights", &UsualValue::Weights);
  py::class_<ChangeDetector>(module, "ChangeDetector")
      .def(py::init<>())
      .def(
          "push",
          [](ChangeDetector& self, int64_t pts_ns, double value) -> py::object {
            const auto change = self.Push(pts_ns, value);
            if (!change) return py::none();
            return py::make_tuple(change->began_ns, change->before, change->after, change->sureness);
          },
          py::arg("pts_ns"), py::arg("value"))
      .def_property_readonly("noise", &ChangeDetector::Noise);
}

}  // namespace edgeaff
