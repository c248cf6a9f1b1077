// Streaming resampler between any two whole rates; bit-exact under any chunking, delay compensated.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lld/vector_ops.h"

namespace edgeaff {

// One polyphase low pass (Kaiser-windowed sinc, 2.5 to 4 ms to each side, 110 dB), see resample.cc.
// Output n is the signal at time n / output_rate after the first input sample: no shift against the input.
// Not thread-safe; separate instances are independent. Allocates in the constructor only.
class Resampler {
 public:
  static constexpr int kLowestRateHz = 8000;
  static constexpr int kHighestRateHz = 768000;

  // Both rates in [kLowestRateHz, kHighestRateHz]. Equal rates: samples pass (scaled, saturated) without delay.
  Resampler(int input_rate_hz, int output_rate_hz);

  // How many outputs the next Push of n samples, or Finish, writes; exact.
  size_t OutputsOfPush(size_t n) const;
  size_t OutputsOfFinish() const;

  // Takes n samples (mono; int16 as s / 32768, float saturated to -1..1; finite), writes the outputs that are final to
  // `output` (room for OutputsOfPush(n)) and returns their number. Must not be called after Finish without Reset.
  size_t Push(const int16_t* samples, size_t n, float* output);
  size_t Push(const float* samples, size_t n, float* output);

  // Writes the rest, the input taken as followed by silence; in total ceil(inputs * output_rate / input_rate) outputs.
  size_t Finish(float* output);

  // Back to the state after construction.
  void Reset();

  // Output at time u is final when the input has come to u + delay_ns.
  int64_t delay_ns() const;

 private:
  template <typename Sample>
  size_t PushAny(const Sample* samples, size_t n, float* output);
  size_t Drain(float* output, size_t most);
  int64_t OutputsFor(int64_t inputs) const;
  void BuildTable();
  float Filter(const float* window) const;

  const VectorOps& ops_;
  int input_rate_hz_;
  int64_t up_;                 // output_rate / gcd
  int64_t down_;               // input_rate / gcd
  int half_taps_;              // input samples to each side
  int phases_;                 // phases of the table: up_ (exact), or 512 with linear interpolation
  std::vector<float> table_;   // (phases_ + 1, 2 * half_taps_)
  std::vector<float> buffer_;  // input not yet left behind
  size_t fill_;                // samples in buffer_
  size_t start_;               // first tap of the next output in buffer_
  int64_t fraction_;           // next output lies fraction_ / up_ input samples after its center sample
  int64_t inputs_, outputs_;
};

}  // namespace edgeaff
