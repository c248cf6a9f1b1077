// From what a caller has (int16 or float32) to the scales of this room.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace edgeaff {

// The two forms of audio: int16 s, and float x = s / 32768 (what decoders give). Floats out of range saturate.

// To float with full scale 1.
inline float ToFloat(int16_t s) { return static_cast<float>(s) / 32768.0f; }
inline float ToFloat(float x) { return x < -1.0f ? -1.0f : (x > 1.0f ? 1.0f : x); }

// To the scale of the descriptors, s / 32767. Both forms of one audio give the same bits.
inline float ToLldScale(int16_t s) { return static_cast<float>(s) / 32767.0f; }
inline float ToLldScale(float x) {
  const float s = x * 32768.0f;
  return (s < -32768.0f ? -32768.0f : (s > 32767.0f ? 32767.0f : s)) / 32767.0f;
}

// Index of the first NaN or infinity, -1 if all are finite.
inline ptrdiff_t FirstNonFinite(const float* samples, size_t n) {
  constexpr size_t kBlock = 256;  // x - x is 0 for finite x: a sum over a block vectorizes, a search does not
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
