// Reads what a DLPack capsule describes: "dltensor", which every exporter gives when it is asked for no version, or
// "dltensor_versioned" of version 1, which also states whether the memory is read-only.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>

#include "bindings.h"
#include "dlpack_abi.h"

namespace py = pybind11;

namespace edgeaff {
namespace {

constexpr int kMostAxes = 64;

// The tensor of a capsule of either name, and whether its memory must not be written.
const DlTensor* TensorOf(const py::object& capsule, bool* read_only) {
  *read_only = false;
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned")) {
    const auto* held =
        static_cast<const DlManagedTensorVersioned*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor_versioned"));
    if (held->version_major != 1) throw py::value_error("DLPack of another major version than 1");
    *read_only = (held->flags & kDlReadOnly) != 0;
    return &held->tensor;
  }
  const auto* tensor = static_cast<const DlTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
  if (tensor == nullptr) throw py::error_already_set();
  return tensor;
}

}  // namespace

void BindArrays(py::module_& module) {
  // (address, shape, strides in elements or None where they are no whole elements, NumPy's number of the type).
  module.def("describe_numpy", [](const py::array& array) {
    const py::ssize_t count = array.ndim(), size = array.itemsize();
    py::tuple shape(count);
    py::object strides = py::tuple(count);
    bool whole = size > 0;  // a type of no width (V0, S0) has no elements to step over
    for (py::ssize_t i = 0; i < count; ++i) {
      shape[i] = array.shape(i);
      whole = whole && array.strides(i) % size == 0;
      PyTuple_SET_ITEM(strides.ptr(), i, PyLong_FromSsize_t(whole ? array.strides(i) / size : 0));
    }
    if (!whole) strides = py::none();
    return py::make_tuple(reinterpret_cast<uintptr_t>(array.data()), shape, strides, array.dtype().num());
  });
  // (address, device type, device id, type code, bits, lanes, shape, strides in elements, read-only). The capsule keeps the memory
  // alive. ValueError for what no exporter may give: absent shapes, too many axes, negative sizes.
  module.def("describe_dlpack", [](const py::object& capsule) {
    bool read_only;
    const DlTensor* const tensor = TensorOf(capsule, &read_only);
    const int count = tensor->dimension_count;
    if (count < 0 || count > kMostAxes || (count > 0 && tensor->shape == nullptr))
      throw py::value_error("DLPack without a shape");
    py::tuple shape(count), strides(count);
    uint64_t compact = 1;  // wraps instead of overflowing; the caller refuses such sizes
    for (int i = count - 1; i >= 0; --i) {
      if (tensor->shape[i] < 0) throw py::value_error("DLPack with a negative size");
      shape[i] = tensor->shape[i];
      strides[i] = tensor->strides != nullptr ? tensor->strides[i] : static_cast<int64_t>(compact);
      compact *= static_cast<uint64_t>(tensor->shape[i]);
    }
    const uintptr_t address =
        tensor->data == nullptr ? 0 : reinterpret_cast<uintptr_t>(tensor->data) + tensor->byte_offset;
    return py::make_tuple(address, tensor->device_type, tensor->device_id, tensor->type_code, tensor->type_bits,
                          tensor->type_lanes, shape, strides, read_only);
  });
}

}  // namespace edgeaff
