// Made-up audio for the C++ tests, the same on every machine.
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

namespace recordings {

// A linear congruential generator; uniform in [-1, 1).
class Noise {
 public:
  explicit Noise(uint32_t seed) : state_(seed) {}
  uint32_t Next() { return state_ = state_ * 1664525u + 1013904223u; }
  double Uniform() { return static_cast<int32_t>(Next()) / 2147483648.0; }
  int Below(int limit) { return static_cast<int>((Next() >> 8) % static_cast<uint32_t>(limit)); }

 private:
  uint32_t state_;
};

// A buzz with moving pitch, pauses and a little noise.
inline std::vector<int16_t> Voice(double seconds, double level = 0.3, uint32_t seed = 1) {
  Noise noise(seed);
  std::vector<int16_t> samples(static_cast<size_t>(seconds * 16000));
  double phase = 0.0;
  for (size_t i = 0; i < samples.size(); ++i) {
    const double t = i / 16000.0;
    phase += 2 * 3.14159265358979 * (150 + 50 * std::sin(5.7 * t)) / 16000;
    double x = 0.0;
    for (int k = 1; k < 12; ++k) x += std::sin(k * phase) / k;
    x = level * (0.4 * (std::sin(8 * t) > -0.6 ? x : 0.0) + 0.01 * noise.Uniform());
    samples[i] = static_cast<int16_t>(32767 * (x > 1 ? 1 : (x < -1 ? -1 : x)));
  }
  return samples;
}

}  // namespace recordings
