// The last samples of a stream, addressed by their index since its start.
#pragma once
#include <cstdint>
#include <cstring>
#include <memory>

namespace edgeaff::lld {

class SampleHistory {
 public:
  // Keeps at least `kept` samples.
  explicit SampleHistory(int kept) {
    size_ = 1;
    while (size_ < kept) size_ *= 2;
    samples_.reset(new float[static_cast<size_t>(size_)]);
    Reset();
  }

  void Reset() { count_ = 0; }
  int64_t count() const { return count_; }
  int64_t size_bytes() const { return size_ * static_cast<int64_t>(sizeof(float)); }

  // Where the next samples go, contiguous, at most `wanted`; Commit states how many were written there.
  float* Room(int wanted, int* granted) {
    const int at = static_cast<int>(count_ & (size_ - 1));
    *granted = wanted < size_ - at ? wanted : size_ - at;
    return samples_.get() + at;
  }
  void Commit(int n) { count_ += n; }

  // Copies samples first .. first + n - 1; they must be among the kept ones.
  void Copy(int64_t first, int n, float* target) const {
    const int at = static_cast<int>(first & (size_ - 1));
    const int head = n < size_ - at ? n : size_ - at;
    std::memcpy(target, samples_.get() + at, static_cast<size_t>(head) * sizeof(float));
    std::memcpy(target + head, samples_.get(), static_cast<size_t>(n - head) * sizeof(float));
  }

 private:
  int size_;  // power of two
  int64_t count_;
  std::unique_ptr<float[]> samples_;
};

}  // namespace edgeaff::lld
