// Memory on cache lines, for packed weights: it lives as long as its owner.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace edgeaff {

constexpr int64_t kAlignment = 64;

inline char* Aligned(char* memory) {
  const auto at = reinterpret_cast<uintptr_t>(memory);
  return reinterpret_cast<char*>((at + kAlignment - 1) / kAlignment * kAlignment);
}

class AlignedMemory {
 public:
  void* Allocate(int64_t bytes) {
    blocks_.push_back(std::make_unique<char[]>(static_cast<size_t>(bytes + kAlignment)));
    return Aligned(blocks_.back().get());
  }

 private:
  std::vector<std::unique_ptr<char[]>> blocks_;
};

}  // namespace edgeaff
