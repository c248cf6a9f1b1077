// cross_modal_attention over plain addresses; edgeaff/ops/cross_modal_attention.py checks arguments and finds the addresses.
#include "edgeaff/cross_modal_attention.h"

#include <pybind11/pybind11.h>

#include <string>

#include "bindings.h"
#include "edgeaff/roof_probe.h"

namespace py = pybind11;

namespace edgeaff {
namespace {

template <class Pointer>
Pointer AddressAt(const py::tuple& fields, int index) {
  return reinterpret_cast<Pointer>(fields[index].cast<uintptr_t>());
}

// (query, batch stride, time stride, key_value, batch stride, time stride, key_mask, batch stride, age_bias,
//  residual, batch stride, time stride); address 0 = absent.
AttentionModality ModalityFrom(const py::tuple& fields) {
  AttentionModality modality;
  modality.query = AddressAt<const void*>(fields, 0);
  modality.query_batch_stride = fields[1].cast<int64_t>();
  modality.query_time_stride = fields[2].cast<int64_t>();
  modality.key_value = AddressAt<const void*>(fields, 3);
  modality.key_value_batch_stride = fields[4].cast<int64_t>();
  modality.key_value_time_stride = fields[5].cast<int64_t>();
  modality.key_mask = AddressAt<const uint8_t*>(fields, 6);
  modality.key_mask_batch_stride = fields[7].cast<int64_t>();
  modality.age_bias = AddressAt<const float*>(fields, 8);
  modality.residual = AddressAt<const void*>(fields, 9);
  modality.residual_batch_stride = fields[10].cast<int64_t>();
  modality.residual_time_stride = fields[11].cast<int64_t>();
  return modality;
}

// sizes: (data type, B, Tq, Tk, heads, head size, band); weights: (alpha, beta, alpha address, beta address);
// output: (address, batch stride, time stride).
CrossModalAttentionParams ParamsFrom(const py::tuple& sizes, const py::tuple& audio, const py::tuple& video,
                                     const py::tuple& weights, const py::tuple& output) {
  CrossModalAttentionParams params;
  params.data_type = static_cast<DataType>(sizes[0].cast<int>());
  params.batch = sizes[1].cast<int64_t>();
  params.query_count = sizes[2].cast<int64_t>();
  params.key_count = sizes[3].cast<int64_t>();
  params.num_heads = sizes[4].cast<int>();
  params.head_size = sizes[5].cast<int>();
  params.band = sizes[6].cast<int64_t>();
  params.audio = ModalityFrom(audio);
  params.video = ModalityFrom(video);
  params.alpha = weights[0].cast<float>();
  params.beta = weights[1].cast<float>();
  params.alpha_pointer = AddressAt<const float*>(weights, 2);
  params.beta_pointer = AddressAt<const float*>(weights, 3);
  params.output = AddressAt<void*>(output, 0);
  params.output_batch_stride = output[1].cast<int64_t>();
  params.output_time_stride = output[2].cast<int64_t>();
  return params;
}

}  // namespace

void BindCrossModalAttention(py::module_& module) {
  module.def("cross_modal_attention_cpu", [](const py::tuple& sizes, const py::tuple& audio, const py::tuple& video,
                                             const py::tuple& weights, const py::tuple& output, int threads) {
    const CrossModalAttentionParams params = ParamsFrom(sizes, audio, video, weights, output);
    py::gil_scoped_release release;
    return CrossModalAttentionCpu(params, threads);
  });
  // Floating point operations done by `repeats` rounds of multiply-adds on registers.
  module.def("roof_probe", [](int64_t repeats) {
    py::gil_scoped_release release;
    return RoofProbe(repeats);
  });
#ifdef EDGEAFF_WITH_CUDA
  // Returns "" or the name of the CUDA error.
  module.def("cross_modal_attention_cuda", [](const py::tuple& sizes, const py::tuple& audio, const py::tuple& video,
                                              const py::tuple& weights, const py::tuple& output, uintptr_t stream) {
    const CrossModalAttentionParams params = ParamsFrom(sizes, audio, video, weights, output);
    const cudaError_t error = CrossModalAttentionCuda(params, reinterpret_cast<cudaStream_t>(stream));
    return std::string(error == cudaSuccess ? "" : cudaGetErrorName(error));
  });
#endif
}

}  // namespace edgeaff
