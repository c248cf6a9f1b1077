// Average over rows t-1, t, t+1, in float32. At the ends of the audio the missing neighbor is the row at the end.
#pragma once

namespace edgeaff::lld {

// For `kWidth` columns. kSkipZeros (pitch group): a value of exactly 0 stays 0, and neighbors that are 0 do not count.
template <int kWidth, bool kSkipZeros>
class Smoother {
 public:
  Smoother() { Reset(); }
  void Reset() { count_ = 0; }

  // Takes the next row; writes the average for the row before it to `out` and returns true (false: there is none yet).
  bool Push(const float* row, float* out) {
    const bool written = count_ > 0;
    if (written) Average(before_, last_, row, out);
    for (int c = 0; c < kWidth; ++c) {
      before_[c] = written ? last_[c] : row[c];
      last_[c] = row[c];
    }
    ++count_;
    return written;
  }

  // The average for the last row, and for one more behind it, as if the last row repeated. False: no rows.
  bool Edge(float* out, float* behind) const {
    if (count_ == 0) return false;
    Average(before_, last_, last_, out);
    Average(last_, last_, last_, behind);
    return true;
  }

 private:
  static void Average(const float* a, const float* b, const float* c, float* out) {
    for (int i = 0; i < kWidth; ++i) {
      const float sum = a[i] + b[i] + c[i];
      if constexpr (kSkipZeros) {
        const int used = (a[i] != 0.0f) + (b[i] != 0.0f) + (c[i] != 0.0f);
        out[i] = b[i] == 0.0f ? 0.0f : sum / static_cast<float>(used);
      } else {
        out[i] = sum / 3.0f;
      }
    }
  }

  float before_[kWidth], last_[kWidth];
  long long count_;
};

}  // namespace edgeaff::lld
