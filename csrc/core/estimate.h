// What the numbers of a tick are worth: coverage, expected error, smoothing, ages. Twins: edgeaff/inference.py, edgeaff/session.py.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace edgeaff {

constexpr int kWindowTicks = 100;

// Share of the last 100 ticks in which a modality was there; ticks before the first count as absent.
class Coverage {
 public:
  // Counts this tick and gives the coverage.
  double Push(bool present);

 private:
  bool ticks_[kWindowTicks] = {};
  int oldest_ = 0, count_ = 0;
};

// Standard deviation of the expected error by coverage, from the table that the bundle was calibrated with.
struct UncertaintyTable {
  std::vector<double> video_coverage, audio_coverage;  // 1 or more, rising
  std::vector<double> valence_std, arousal_std;        // (video, audio)
  double abstain_above_std = 0, audio_only_valence_max_std = 0;

  // Interpolated between the calibrated coverages.
  double ValenceStd(double video, double audio) const { return Interpolate(valence_std, video, audio); }
  double ArousalStd(double video, double audio) const { return Interpolate(arousal_std, video, audio); }

 private:
  double Interpolate(const std::vector<double>& grid, double video, double audio) const;
};

// Causal exponential smoothing of one value; time_constant_seconds = 0 passes the value through. A gap of more than half a
// second starts again.
class Smoother {
 public:
  explicit Smoother(double time_constant_seconds) : time_constant_seconds_(time_constant_seconds) {}

  std::optional<double> Push(int64_t pts_ns, std::optional<double> value);

 private:
  double time_constant_seconds_;
  std::optional<double> value_;
  int64_t pts_ns_ = 0;
};

// A value cut to [-1, 1]; empty if it is no number, or further out than rounding explains.
std::optional<double> ValueInRange(double value);

// A standard deviation; empty if it is no number in [0, 2].
std::optional<double> StdInRange(double std);

// The age in milliseconds, rounded to 1 us as Python's round(ns / 1e6, 3) does; 0 for what is just ahead.
double AgeMs(int64_t now_ns, int64_t then_ns);

}  // namespace edgeaff
