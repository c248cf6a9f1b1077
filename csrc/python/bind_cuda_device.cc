// Memory, copies and streams of the current CUDA device over plain addresses; edgeaff/backends/device.py checks the results. Each
// function returns the name of a CUDA error, or "" and what was asked for.
#include <pybind11/pybind11.h>

#include "bindings.h"

#ifdef EDGEAFF_WITH_CUDA
#include <cuda_runtime_api.h>

#include <cstdint>
#include <string>
#endif

namespace py = pybind11;

namespace edgeaff {

#ifdef EDGEAFF_WITH_CUDA
namespace {

std::string NameOf(cudaError_t error) { return error == cudaSuccess ? "" : cudaGetErrorName(error); }

cudaStream_t StreamAt(uintptr_t stream) { return reinterpret_cast<cudaStream_t>(stream); }

void* PointerAt(uintptr_t address) { return reinterpret_cast<void*>(address); }

// (error, (name, "sm_86", newest CUDA version that the driver serves)).
py::tuple DescribeDevice() {
  int index = 0, driver = 0;
  cudaDeviceProp properties{};
  cudaError_t error = cudaGetDevice(&index);
  if (error == cudaSuccess) error = cudaGetDeviceProperties(&properties, index);
  if (error == cudaSuccess) error = cudaDriverGetVersion(&driver);
  if (error != cudaSuccess) return py::make_tuple(NameOf(error), py::none());
  const std::string capability = "sm_" + std::to_string(properties.major) + std::to_string(properties.minor);
  const std::string version = std::to_string(driver / 1000) + "." + std::to_string(driver % 1000 / 10);
  return py::make_tuple("", py::make_tuple(std::string(properties.name), capability, version));
}

}  // namespace
#endif

void BindCudaDevice([[maybe_unused]] py::module_& module) {
#ifdef EDGEAFF_WITH_CUDA
  module.def("cuda_device_info", &DescribeDevice);
  module.def("cuda_allocate", [](size_t bytes) {
    void* address = nullptr;
    const cudaError_t error = cudaMalloc(&address, bytes);
    return py::make_tuple(NameOf(error), reinterpret_cast<uintptr_t>(address));
  });
  module.def("cuda_free", [](uintptr_t address) { return NameOf(cudaFree(PointerAt(address))); });
  module.def("cuda_copy", [](uintptr_t target, uintptr_t source, size_t bytes, uintptr_t stream) {
    py::gil_scoped_release release;  // from pageable host memory the call waits for the copy
    return NameOf(cudaMemcpyAsync(PointerAt(target), PointerAt(source), bytes, cudaMemcpyDefault, StreamAt(stream)));
  });
  module.def("cuda_create_stream", [] {
    cudaStream_t stream = nullptr;
    const cudaError_t error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    return py::make_tuple(NameOf(error), reinterpret_cast<uintptr_t>(stream));
  });
  module.def("cuda_destroy_stream", [](uintptr_t stream) { return NameOf(cudaStreamDestroy(StreamAt(stream))); });
  module.def("cuda_synchronize", [](uintptr_t stream) {
    py::gil_scoped_release release;
    return NameOf(cudaStreamSynchronize(StreamAt(stream)));
  });
#endif
}

}  // namespace edgeaff
