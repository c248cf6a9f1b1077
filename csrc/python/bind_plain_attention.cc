// The plain call of cross_modal_attention, four CPU arrays and two numbers, checked and run without Python in between.
//
// It returns None for any other call, and edgeaff/ops/cross_modal_attention.py then handles the call, or reports what
// is wrong with it. Arrays are NumPy's, or of a library whose type carries the DLPack C exchange API (torch from 2.10 on).
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cmath>
#include <cstdint>

#include "bindings.h"
#include "dlpack_abi.h"
#include "edgeaff/cross_modal_attention.h"

namespace py = pybind11;

namespace edgeaff {
namespace {

constexpr int64_t kLargestHead = 256;

struct View {
  const void* data = nullptr;
  int64_t shape[3] = {};
  int64_t strides[3] = {};  // in elements
  DataType type = DataType::kFloat32;
};

bool ViewNumpy(const py::handle& object, View* view) {
  const auto array = py::reinterpret_borrow<py::array>(object);
  if (array.ndim() != 3 || !py::isinstance<py::array_t<float>>(object)) return false;
  view->data = array.data();
  if (reinterpret_cast<uintptr_t>(view->data) % alignof(float) != 0) return false;
  for (int i = 0; i < 3; ++i) {
    if (array.strides(i) % 4 != 0) return false;
    view->shape[i] = array.shape(i);
    view->strides[i] = array.strides(i) / 4;
  }
  return true;
}

// The exchange API of an object's type, or null. Types live as long as their library, so the last one is remembered.
const DlpackExchangeApi* ExchangeApiOf(const py::handle& object) {
  static PyTypeObject* last_type = nullptr;
  static const DlpackExchangeApi* last_api = nullptr;
  PyTypeObject* const type = Py_TYPE(object.ptr());
  if (type == last_type) return last_api;
  PyObject* const capsule = PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "__dlpack_c_exchange_api__");
  if (capsule == nullptr) {
    PyErr_Clear();
    return nullptr;
  }
  const auto* api = static_cast<const DlpackExchangeApi*>(PyCapsule_GetPointer(capsule, "dlpack_exchange_api"));
  Py_DECREF(capsule);  // the type keeps it
  if (api == nullptr) PyErr_Clear();
  if (api == nullptr || api->version_major != 1) return nullptr;
  last_type = type;
  last_api = api;
  return api;
}

bool NeedsGradient(const py::handle& object) {
  PyObject* const flag = PyObject_GetAttrString(object.ptr(), "requires_grad");
  if (flag == nullptr) {
    PyErr_Clear();
    return false;
  }
  Py_DECREF(flag);
  return flag != Py_False;
}

bool ViewDlpack(const py::handle& object, const DlpackExchangeApi& api, View* view) {
  DlTensor tensor{};
  if (NeedsGradient(object)) return false;
  if (api.tensor_from_object(object.ptr(), &tensor) != 0) {
    PyErr_Clear();
    return false;
  }
  const bool is_float = tensor.type_code == 2 && tensor.type_bits == 32,
             is_bf16 = tensor.type_code == 4 && tensor.type_bits == 16;
  if (tensor.device_type != 1 || tensor.dimension_count != 3 || tensor.type_lanes != 1 || !(is_float || is_bf16))
    return false;
  if (tensor.data == nullptr) return false;
  view->data = static_cast<const char*>(tensor.data) + tensor.byte_offset;
  view->type = is_float ? DataType::kFloat32 : DataType::kBfloat16;
  int64_t compact = 1;
  for (int i = 2; i >= 0; --i) {
    view->shape[i] = tensor.shape[i];
    view->strides[i] = tensor.strides != nullptr ? tensor.strides[i] : compact;
    compact *= tensor.shape[i];
  }
  return true;
}

bool FitsPlainCall(const View (&views)[4], int heads) {
  const int64_t batch = views[0].shape[0], queries = views[0].shape[1], channels = views[0].shape[2],
                keys = views[1].shape[1];
  if (heads < 1 || channels < heads || channels % heads != 0 || channels / heads > kLargestHead) return false;
  for (int i = 0; i < 4; ++i) {
    const bool pair = i % 2 == 1;
    if (views[i].type != views[0].type || views[i].strides[2] != 1 || views[i].shape[0] != batch) return false;
    if (views[i].shape[1] != (pair ? keys : queries) || views[i].shape[2] != (pair ? 2 : 1) * channels) return false;
  }
  return true;
}

AttentionModality ModalityOf(const View& query, const View& pair) {
  AttentionModality modality;
  modality.query = query.data;
  modality.query_batch_stride = query.strides[0];
  modality.query_time_stride = query.strides[1];
  modality.key_value = pair.data;
  modality.key_value_batch_stride = pair.strides[0];
  modality.key_value_time_stride = pair.strides[1];
  return modality;
}

py::object PlainAttention(const py::object& q_audio, const py::object& kv_audio, const py::object& q_video,
                          const py::object& kv_video, float alpha, float beta, int heads, int threads) {
  const py::handle arrays[4] = {q_audio, kv_audio, q_video, kv_video};
  const bool numpy = py::isinstance<py::array>(q_audio);
  const DlpackExchangeApi* const api = numpy ? nullptr : ExchangeApiOf(q_audio);
  if (!numpy && api == nullptr) return py::none();
  View views[4], target;
  for (int i = 0; i < 4; ++i) {
    if (Py_TYPE(arrays[i].ptr()) != Py_TYPE(q_audio.ptr())) return py::none();
    if (!(numpy ? ViewNumpy(arrays[i], &views[i]) : ViewDlpack(arrays[i], *api, &views[i]))) return py::none();
  }
  if (!std::isfinite(alpha) || !std::isfinite(beta)) return py::none();
  if (threads < 1 || !FitsPlainCall(views, heads)) return py::none();
  const int64_t batch = views[0].shape[0], queries = views[0].shape[1], channels = views[0].shape[2];
  py::object out = numpy ? py::object(py::array_t<float>({batch, queries, channels}))
                         : q_audio.attr("new_empty")(py::make_tuple(batch, queries, channels));
  if (!(numpy ? ViewNumpy(out, &target) : ViewDlpack(out, *api, &target))) return py::none();

  CrossModalAttentionParams params;
  params.data_type = views[0].type;
  params.batch = batch;
  params.query_count = queries;
  params.key_count = views[1].shape[1];
  params.num_heads = heads;
  params.head_size = static_cast<int>(channels / heads);
  params.audio = ModalityOf(views[0], views[1]);
  params.video = ModalityOf(views[2], views[3]);
  params.alpha = alpha;
  params.beta = beta;
  params.output = const_cast<void*>(target.data);
  params.output_batch_stride = target.strides[0];
  params.output_time_stride = target.strides[1];
  bool done;
  {
    py::gil_scoped_release release;
    done = CrossModalAttentionCpu(params, threads);
  }
  return done ? out : py::none();
}

}  // namespace

void BindPlainAttention(py::module_& module) { module.def("cross_modal_attention_plain", PlainAttention); }

}  // namespace edgeaff
