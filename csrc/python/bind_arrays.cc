// Reads what a DLPack capsule describes. The struct layouts are those of the public DLPack ABI (version 0.x capsules, name
// "dltensor"), which every exporter gives when it is asked for no version.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>

#include "bindings.h"
#include "dlpack_abi.h"

namespace py = pybind11;

namespace edgeaff {

void BindArrays(py::module_& module) {
  // (address, shape, strides in elements or None where they are no whole elements, NumPy's number of the type).
  module.def("describe_numpy", [](const py::array& array) {
    const py::ssize_t count = array.ndim(), size = array.itemsize();
    py::tuple shape(count);
    py::object strides = py::tuple(count);
    bool whole = true;
    for (py::ssize_t i = 0; i < count; ++i) {
      shape[i] = array.shape(i);
      whole = whole && array.strides(i) % size == 0;
      PyTuple_SET_ITEM(strides.ptr(), i, PyLong_FromSsize_t(array.strides(i) / size));
    }
    if (!whole) strides = py::none();
    return py::make_tuple(reinterpret_cast<uintptr_t>(array.data()), shape, strides, array.dtype().num());
  });
  // (address, device type, device id, type code, bits, shape, strides in elements). The capsule keeps the memory alive.
  module.def("describe_dlpack", [](const py::object& capsule) {
    const auto* tensor = static_cast<const DlTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
    if (tensor == nullptr) throw py::error_already_set();
    const int count = tensor->dimension_count;
    py::tuple shape(count), strides(count);
    int64_t compact = 1;
    for (int i = count - 1; i >= 0; --i) {
      shape[i] = tensor->shape[i];
      strides[i] = tensor->strides != nullptr ? tensor->strides[i] : compact;
      compact *= tensor->shape[i];
    }
    return py::make_tuple(reinterpret_cast<uintptr_t>(tensor->data) + tensor->byte_offset, tensor->device_type,
                          tensor->device_id, tensor->type_code, tensor->type_bits * tensor->type_lanes, shape, strides);
  });
}

}  // namespace edgeaff
