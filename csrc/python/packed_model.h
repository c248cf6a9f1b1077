// What the bindings of packed models share: their common sizes, contiguous tensors, inputs that may be absent.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace edgeaff {

using FloatArray = pybind11::array_t<float, pybind11::array::c_style>;

template <typename Sizes>
Sizes CommonSizes(const pybind11::dict& sizes) {
  Sizes made;
  made.video_size = sizes["video_size"].cast<int>();
  made.audio_size = sizes["audio_size"].cast<int>();
  made.size = sizes["size"].cast<int>();
  made.num_heads = sizes["num_heads"].cast<int>();
  made.ffn_size = sizes["ffn_size"].cast<int>();
  made.layers = sizes["layers"].cast<int>();
  return made;
}

// The other byte order has the same kind and width: read as it lies it would give other numbers.
inline void RequireNativeOrder(const pybind11::array& array, const std::string& name) {
  const char order = array.dtype().byteorder();
  if (order != '=' && order != '|') throw std::invalid_argument(name + " is not in the byte order of this machine");
  if (!(array.flags() & pybind11::detail::npy_api::NPY_ARRAY_ALIGNED_))
    throw std::invalid_argument(name + " is at an odd address");
}

inline std::vector<int64_t> ContiguousShape(const pybind11::array& array, const std::string& name) {
  if (!(array.flags() & pybind11::array::c_style)) throw std::invalid_argument(name + " is not contiguous");
  return {array.shape(), array.shape() + array.ndim()};
}

// Throws std::invalid_argument unless it is None or a contiguous float32 array of `size` values.
inline const float* DataOrNull(const pybind11::object& array, int size, const char* name) {
  if (array.is_none()) return nullptr;
  if (!pybind11::isinstance<FloatArray>(array))
    throw std::invalid_argument(std::string(name) + " is not contiguous float32");
  const auto values = pybind11::reinterpret_borrow<FloatArray>(array);
  if (values.size() != size) throw std::invalid_argument(std::string(name) + " has another size");
  if (reinterpret_cast<uintptr_t>(values.data()) % alignof(float) != 0)
    throw std::invalid_argument(std::string(name) + " is at an odd address");
  return values.data();
}

}  // namespace edgeaff
