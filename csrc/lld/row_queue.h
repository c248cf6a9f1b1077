// Rows of 65 columns on their way out: filled column group by column group, popped when complete. Grows only while more
// rows wait than ever before; nothing is dropped.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

#include "lld/constants.h"

namespace edgeaff::lld {

class RowQueue {
 public:
  RowQueue() : rows_(kInitialRows * kColumns), capacity_(kInitialRows) { Reset(); }

  void Reset() { first_ = 0; }

  // Row `index` since the start of the stream; not yet popped.
  float* Row(int64_t index) {
    if (index - first_ >= capacity_) Grow(index);
    return &rows_[static_cast<size_t>(index & (capacity_ - 1)) * kColumns];
  }

  int64_t first() const { return first_; }  // oldest row not yet popped
  int64_t size_bytes() const { return capacity_ * kColumns * static_cast<int64_t>(sizeof(float)); }

  // Moves the oldest n rows to `out` (n, 65).
  void Pop(int64_t n, float* out) {
    for (int64_t i = 0; i < n; ++i) std::memcpy(out + i * kColumns, Row(first_ + i), kColumns * sizeof(float));
    first_ += n;
  }

 private:
  static constexpr int64_t kInitialRows = 64;  // more than the longest pitch lag keeps open

  void Grow(int64_t index) {
    int64_t capacity = capacity_;
    while (index - first_ >= capacity) capacity *= 2;
    std::vector<float> rows(static_cast<size_t>(capacity) * kColumns);
    for (int64_t i = first_; i < first_ + capacity_; ++i) {
      std::memcpy(&rows[static_cast<size_t>(i & (capacity - 1)) * kColumns],
                  &rows_[static_cast<size_t>(i & (capacity_ - 1)) * kColumns], kColumns * sizeof(float));
    }
    rows_.swap(rows);
    capacity_ = capacity;
  }

  std::vector<float> rows_;
  int64_t capacity_;  // power of two
  int64_t first_;
};

}  // namespace edgeaff::lld
