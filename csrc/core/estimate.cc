#include "core/estimate.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "core/tick_clock.h"

namespace edgeaff {
namespace {

constexpr double kOvershoot = 1e-3;
constexpr double kMostStd = 2.0;
constexpr double kResetSeconds = 0.5;

// numpy.interp of one value.
double InterpolateLine(double x, const double* at, const double* values, size_t count) {
  if (!(x >= at[0])) return values[0];
  const size_t after = static_cast<size_t>(std::upper_bound(at, at + count, x) - at);
  const size_t before = after - 1;
  if (after == count || at[before] == x) return values[before];
  const double slope = (values[after] - values[before]) / (at[after] - at[before]);
  return slope * (x - at[before]) + values[before];
}

}  // namespace

double Coverage::Push(bool present) {
  count_ += present - ticks_[oldest_];
  ticks_[oldest_] = present;
  oldest_ = (oldest_ + 1) % kWindowTicks;
  return static_cast<double>(count_) / kWindowTicks;
}

double UncertaintyTable::Interpolate(const std::vector<double>& grid, double video, double audio) const {
  const size_t rows = video_coverage.size(), columns = audio_coverage.size();
  const auto along_audio = [&](size_t row) {
    return InterpolateLine(audio, audio_coverage.data(), &grid[row * columns], columns);
  };
  // As InterpolateLine over the rows, without memory for their values.
  if (!(video >= video_coverage[0])) return along_audio(0);
  const size_t after = static_cast<size_t>(std::upper_bound(video_coverage.begin(), video_coverage.end(), video) -
                                           video_coverage.begin());
  const size_t before = after - 1;
  if (after == rows || video_coverage[before] == video) return along_audio(before);
  const double at[2] = {video_coverage[before], video_coverage[after]},
               values[2] = {along_audio(before), along_audio(after)};
  return InterpolateLine(video, at, values, 2);
}

std::optional<double> Smoother::Push(int64_t pts_ns, std::optional<double> value) {
  if (!value) return std::nullopt;
  const double gap = static_cast<double>(SaturatingSubtract(pts_ns, pts_ns_)) / static_cast<double>(kNanoseconds);
  if (!value_ || time_constant_seconds_ <= 0 || gap > kResetSeconds) {
    value_ = value;
  } else {
    *value_ += (1 - std::exp(-gap / time_constant_seconds_)) * (*value - *value_);
  }
  pts_ns_ = pts_ns;
  return value_;
}

std::optional<double> ValueInRange(double value) {
  if (!(std::fabs(value) <= 1 + kOvershoot)) return std::nullopt;
  return std::max(-1.0, std::min(1.0, value));
}

std::optional<double> StdInRange(double std) {
  if (!(0 <= std && std <= kMostStd)) return std::nullopt;
  return std;
}

// Python rounds the double ns / 1e6, not the whole number ns: at half a microsecond the error of that double decides.
double AgeMs(int64_t now_ns, int64_t then_ns) {
  const int64_t age_ns = SaturatingSubtract(now_ns, then_ns);
  if (age_ns <= 0) return 0.0;
  int64_t microseconds = age_ns / 1000;
  const int64_t rest = age_ns % 1000;
  if (rest == 500) {
    const double milliseconds = static_cast<double>(age_ns) / 1e6;
    const double error = std::fma(milliseconds, 1e6, -static_cast<double>(age_ns));
    microseconds += error > 0 || (error == 0 && microseconds % 2 == 1);
  } else {
    microseconds += rest > 500;
  }
  return static_cast<double>(microseconds) / 1000.0;
}

}  // namespace edgeaff
