// The parts of the public DLPack ABI that edgeaff reads: a tensor, and the C exchange API that an array type may carry.
#pragma once
#include <cstdint>

namespace edgeaff {

struct DlTensor {
  void* data;
  int32_t device_type;  // 1 = CPU
  int32_t device_id;
  int32_t dimension_count;
  uint8_t type_code;  // 2 = float, 4 = bfloat16
  uint8_t type_bits;
  uint16_t type_lanes;
  int64_t* shape;
  int64_t* strides;  // in elements; null = row-major
  uint64_t byte_offset;
};

// Capsule "dltensor_versioned".
struct DlManagedTensorVersioned {
  uint32_t version_major, version_minor;
  void* manager;
  void* deleter;
  uint64_t flags;
  DlTensor tensor;
};

constexpr uint64_t kDlReadOnly = 1;

// Attribute `__dlpack_c_exchange_api__` of a type: a capsule named "dlpack_exchange_api". Only tensor_from_object is called: it
// borrows, orders no streams, and returns 0, or -1 with a Python exception set.
struct DlpackExchangeApi {
  uint32_t version_major, version_minor;
  const DlpackExchangeApi* previous;
  void* allocate_managed;
  void* managed_from_object;
  void* managed_to_object;
  int (*tensor_from_object)(void* object, DlTensor* tensor);
  void* current_stream;
};

}  // namespace edgeaff
