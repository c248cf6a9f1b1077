// Polyphase resampling with a Kaiser-windowed sinc.
//
// Output n lies at input position p = n * down / up = c + fraction / up, kept in integers, so it never drifts.
//   y[n] = sum_{k = -(H-1)}^{H} x[c + k] h(k - fraction / up),  h(d) = kaiser(d / H) sinc(2 fc d), sum 1
//
//   x:   . . . c-H+1 ... c | c+1 ... c+H . . .      2H taps around p; the output waits for x[c + H]: delay H samples
//
// fc = half the lower rate (-6 dB there). Choice: H spans 2.5 ms where the lower rate is at least 16 kHz, up to 4 ms
// below: the transition band must narrow with the rate. With 110 dB it is fc -+ 0.7 kHz at 16 kHz, so aliases and
// images reach no lower than 7.3 kHz. Rates with more than 512 phases (44,101 Hz has 16,000) interpolate linearly
// between the outputs of two neighboring ones of 512 phases; the error of that is below -105 dB. Twin:
// edgeaff/features/resample_reference.py.
#include "lld/resample.h"

#include <cmath>
#include <cstring>
#include <numeric>

#include "lld/samples.h"

namespace edgeaff {
namespace {

constexpr double kHalfWidthSeconds = 0.0025;
constexpr double kLongestHalfWidthSeconds = 0.004;
constexpr double kKaiserBeta = 11.2;
constexpr int64_t kMostExactPhases = 512;
constexpr size_t kBlock = 1024;  // input samples taken at a time
constexpr double kPi = 3.14159265358979323846;

// Modified Bessel function of the first kind, order 0: sum of ((x/2)^k / k!)^2.
double BesselI0(double x) {
  double term = 1.0, sum = 1.0;
  for (int k = 1; term > 1e-18 * sum; ++k) {
    term *= (x / (2.0 * k)) * (x / (2.0 * k));
    sum += term;
  }
  return sum;
}

int HalfWidthSamples(int input_rate_hz, int output_rate_hz) {
  const int lower = input_rate_hz < output_rate_hz ? input_rate_hz : output_rate_hz;
  double seconds = lower < 16000 ? kHalfWidthSeconds * 16000.0 / lower : kHalfWidthSeconds;
  if (seconds > kLongestHalfWidthSeconds) seconds = kLongestHalfWidthSeconds;
  return static_cast<int>(seconds * input_rate_hz + 1e-9);
}

double Sinc(double x) { return std::abs(x) < 1e-12 ? 1.0 : std::sin(kPi * x) / (kPi * x); }

}  // namespace

Resampler::Resampler(int input_rate_hz, int output_rate_hz) : ops_(BestVectorOps()), input_rate_hz_(input_rate_hz) {
  const int divisor = std::gcd(input_rate_hz, output_rate_hz);
  up_ = output_rate_hz / divisor;
  down_ = input_rate_hz / divisor;
  half_taps_ = up_ == down_ ? 0 : HalfWidthSamples(input_rate_hz, output_rate_hz);
  if (half_taps_ > 0) BuildTable();
  buffer_.resize(2 * static_cast<size_t>(half_taps_) + kBlock);
  Reset();
}

void Resampler::BuildTable() {
  const int taps = 2 * half_taps_;
  phases_ = static_cast<int>(up_ < kMostExactPhases ? up_ : kMostExactPhases);
  const int rows = phases_ + 1;
  table_.resize(static_cast<size_t>(rows) * taps);
  const double cutoff = up_ < down_ ? static_cast<double>(up_) / down_ : 1.0;  // 2 fc in cycles per input sample
  std::vector<double> row(taps);
  for (int phase = 0; phase < rows; ++phase) {
    double sum = 0.0;
    for (int k = 0; k < taps; ++k) {
      const double d = (k - (half_taps_ - 1)) - static_cast<double>(phase) / phases_;
      const double u = d / half_taps_;
      row[k] = u * u < 1.0 ? Sinc(cutoff * d) * BesselI0(kKaiserBeta * std::sqrt(1.0 - u * u)) : 0.0;
      sum += row[k];
    }
    for (int k = 0; k < taps; ++k) table_[static_cast<size_t>(phase) * taps + k] = static_cast<float>(row[k] / sum);
  }
}

void Resampler::Reset() {
  std::memset(buffer_.data(), 0, buffer_.size() * sizeof(float));
  fill_ = half_taps_ > 0 ? half_taps_ - 1 : 0;  // silence before the first sample
  start_ = 0;
  fraction_ = 0;
  inputs_ = outputs_ = 0;
}

// Outputs at positions n * down / up < inputs.
int64_t Resampler::OutputsFor(int64_t inputs) const { return inputs <= 0 ? 0 : (inputs * up_ + down_ - 1) / down_; }

size_t Resampler::OutputsOfPush(size_t n) const {
  return static_cast<size_t>(OutputsFor(inputs_ + static_cast<int64_t>(n) - half_taps_) - outputs_);
}

size_t Resampler::OutputsOfFinish() const { return static_cast<size_t>(OutputsFor(inputs_) - outputs_); }

int64_t Resampler::delay_ns() const {
  return (static_cast<int64_t>(half_taps_) * 1000000000 + input_rate_hz_ - 1) / input_rate_hz_;
}

float Resampler::Filter(const float* window) const {
  const int taps = 2 * half_taps_;
  if (phases_ == up_) return ops_.dot_f32(window, &table_[static_cast<size_t>(fraction_) * taps], taps);
  const double position = static_cast<double>(fraction_) * phases_ / static_cast<double>(up_);
  const int phase = static_cast<int>(position);
  const float weight = static_cast<float>(position - phase);
  const float* row = &table_[static_cast<size_t>(phase) * taps];
  const float low = ops_.dot_f32(window, row, taps);
  const float high = ops_.dot_f32(window, row + taps, taps);
  return low + weight * (high - low);
}

// Writes at most `most` outputs whose taps are all in the buffer, then drops what no later output needs.
size_t Resampler::Drain(float* output, size_t most) {
  size_t written = 0;
  while (written < most && start_ + 2 * half_taps_ <= fill_) {
    output[written++] = Filter(buffer_.data() + start_);
    fraction_ += down_;
    start_ += static_cast<size_t>(fraction_ / up_);
    fraction_ %= up_;
  }
  // start_ <= fill_: one step is at most down / up + 1 samples, less than the taps.
  std::memmove(buffer_.data(), buffer_.data() + start_, (fill_ - start_) * sizeof(float));
  fill_ -= start_;
  start_ = 0;
  outputs_ += static_cast<int64_t>(written);
  return written;
}

template <typename Sample>
size_t Resampler::PushAny(const Sample* samples, size_t n, float* output) {
  inputs_ += static_cast<int64_t>(n);
  if (half_taps_ == 0) {
    for (size_t i = 0; i < n; ++i) output[i] = ToFloat(samples[i]);
    outputs_ += static_cast<int64_t>(n);
    return n;
  }
  size_t written = 0;
  while (n > 0) {
    const size_t block = n < kBlock ? n : kBlock;
    for (size_t i = 0; i < block; ++i) buffer_[fill_ + i] = ToFloat(samples[i]);
    fill_ += block;
    samples += block;
    n -= block;
    written += Drain(output + written, SIZE_MAX);
  }
  return written;
}

size_t Resampler::Push(const int16_t* samples, size_t n, float* output) { return PushAny(samples, n, output); }
size_t Resampler::Push(const float* samples, size_t n, float* output) { return PushAny(samples, n, output); }

size_t Resampler::Finish(float* output) {
  if (half_taps_ == 0) return 0;
  size_t written = 0;
  // Silence in pieces of at most one block; half_taps_ samples of it complete the last output.
  for (int left = half_taps_; left > 0;) {
    const int block = left < static_cast<int>(kBlock) ? left : static_cast<int>(kBlock);
    std::memset(buffer_.data() + fill_, 0, block * sizeof(float));
    fill_ += block;
    left -= block;
    written += Drain(output + written, OutputsOfFinish());
  }
  return written;
}

}  // namespace edgeaff
