#include "core/usual_value.h"

#include <algorithm>
#include <cmath>

namespace edgeaff {
namespace {

constexpr double kTicksPerSecond = 30.0, kWarmupSeconds = 10.0;
constexpr double kKeep = 0.9999614925495148;  // half of the weight is gone after 600 s
constexpr double kCenterPriorSeconds = 30.0, kScalePriorSeconds = 600.0, kPriorScale = 0.25;
constexpr double kLowShare = 0.1587, kHighShare = 0.8413;
constexpr double kMostStretch = 2.0;

}  // namespace

void UsualValue::Push(double value) {
  for (double& weight : weights_) weight *= kKeep;
  const int bin = static_cast<int>((value + 1.0) * (kBins / 2));
  weights_[std::min(kBins - 1, std::max(0, bin))] += 1.0;
}

std::optional<double> UsualValue::Relative(double value) const {
  if (Seconds() < kWarmupSeconds) return std::nullopt;
  const double stretch = std::min(kMostStretch, std::max(1.0 / kMostStretch, kPriorScale / Scale()));
  return std::min(1.0, std::max(-1.0, (value - Center()) * stretch));
}

double UsualValue::Center() const {
  const double total = Total(), seconds = total / kTicksPerSecond;
  return total > 0 ? seconds / (seconds + kCenterPriorSeconds) * Quantile(0.5, total) : 0.0;
}

double UsualValue::Scale() const {
  const double total = Total(), seconds = total / kTicksPerSecond;
  if (!(total > 0)) return kPriorScale;
  const double spread = (Quantile(kHighShare, total) - Quantile(kLowShare, total)) / 2;
  return (seconds * spread + kScalePriorSeconds * kPriorScale) / (seconds + kScalePriorSeconds);
}

double UsualValue::Seconds() const { return Total() / kTicksPerSecond; }

void UsualValue::Restore(const std::vector<double>& weights) {
  std::copy_n(weights.begin(), std::min<size_t>(weights.size(), kBins), weights_);
}

double UsualValue::Total() const {
  double total = 0;
  for (const double weight : weights_) total += weight;
  return total;
}

double UsualValue::Quantile(double share, double total) const {
  const double wanted = share * total;
  double below = 0;
  int last = 0;
  for (int bin = 0; bin < kBins; ++bin) {
    if (!(weights_[bin] > 0)) continue;
    if (below + weights_[bin] >= wanted) return (bin + (wanted - below) / weights_[bin]) / (kBins / 2) - 1.0;
    below += weights_[bin], last = bin;
  }
  return (last + 1.0) / (kBins / 2) - 1.0;
}

}  // namespace edgeaff
