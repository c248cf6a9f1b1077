// From what a caller has (int16 or float32) to the one scale of this room.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace edgeaff {

// int16 s enters as s / 32767 (so -32768 is a little below -1); floats saturate to that same range.
constexpr float kPcmScale = 32767.0f;
constexpr float kLowestSample = -32768.0f / 32767.0f;

inline void CopySamples(const int16_t* source, size_t n, float* target) {
  for (size_t i = 0; i < n; ++i) target[i] = static_cast<float>(source[i]) / kPcmScale;
}

inline void CopySamples(const float* source, size_t n, float* target) {
  for (size_t i = 0; i < n; ++i) {
    const float x = source[i];
    target[i] = x < kLowestSample ? kLowestSample : (x > 1.0f ? 1.0f : x);
  }
}

// Index of the first NaN or infinity, -1 if all are finite.
inline ptrdiff_t FirstNonFinite(const float* samples, size_t n) {
  constexpr size_t kBlock = 256;  // x - x is 0 for finite x: a sum over a block vectorises, a search does not
  for (size_t start = 0; start < n; start += kBlock) {
    const size_t end = start + kBlock < n ? start + kBlock : n;
    bool finite = true;
    for (size_t i = start; i < end; ++i) finite &= (samples[i] - samples[i]) == 0.0f;
    if (finite) continue;
    for (size_t i = start; i < end; ++i) {
      if (!std::isfinite(samples[i])) return static_cast<ptrdiff_t>(i);
    }
  }
  return -1;
}

}  // namespace edgeaff
