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

inline std::vector<int64_t> ContiguousShape(const pybind11::array& array, const std::string& name) {
  if (!(array.flags() & pybind11::array::c_style)) throw std::invalid_argument(name + " is not contiguous");
  return {array.shape(), array.shape() + array.ndim()};
}

inline const float* DataOrNull(const pybind11::object& array) {
  return array.is_none() ? nullptr : pybind11::reinterpret_borrow<FloatArray>(array).data();
}

}  // namespace edgeaff
