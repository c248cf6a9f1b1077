#include "core/speech_gate.h"

#include <algorithm>
#include <cmath>

namespace edgeaff {
namespace {

constexpr double kShortSeconds = 0.25, kSlowSeconds = 1.5, kLargest = 4.0;
constexpr int kRmsColumn = 8;

}  // namespace

SpeechGate::SpeechGate(const SpeechRules& rules, double step_seconds)
    : rules_(rules),
      short_gain_(1 - std::exp(-step_seconds / kShortSeconds)),
      slow_gain_(1 - std::exp(-step_seconds / kSlowSeconds)),
      sums_(rules.hidden_bias.size()),
      quiet_steps_(rules.hold_steps + 1) {}

void SpeechGate::Reset() {
  std::fill_n(&state_[0][0], SpeechRules::kStatistics * kLldSize, 0.0);
  quiet_steps_ = rules_.hold_steps + 1;
}

bool SpeechGate::Push(const float* lld) {
  if (rules_.hidden_bias.empty()) return true;
  const double odds = Odds(lld);
  const bool is_open = quiet_steps_ <= rules_.hold_steps;
  const bool loud = static_cast<double>(lld[kRmsColumn]) > rules_.least_rms;
  quiet_steps_ = loud && odds > (is_open ? rules_.close_below : rules_.open_above)
                     ? 0
                     : std::min(quiet_steps_ + 1, rules_.hold_steps + 1);
  return quiet_steps_ <= rules_.hold_steps;
}

double SpeechGate::Odds(const float* lld) {
  auto& [shorter, slow, rough, swing] = state_;
  for (size_t i = 0; i < kLldSize; ++i) {
    const double scaled = (std::asinh(static_cast<double>(lld[i]) * rules_.factor[i]) - rules_.mean[i]) / rules_.std[i];
    const double x = std::min(std::max(scaled, -kLargest), kLargest);
    shorter[i] += short_gain_ * (x - shorter[i]);
    slow[i] += slow_gain_ * (x - slow[i]);
    rough[i] += slow_gain_ * (std::fabs(x - shorter[i]) - rough[i]);
    swing[i] += slow_gain_ * (std::fabs(shorter[i] - slow[i]) - swing[i]);
  }
  const size_t width = sums_.size();
  std::copy(rules_.hidden_bias.begin(), rules_.hidden_bias.end(), sums_.begin());
  const double* const inputs = &state_[0][0];
  for (size_t k = 0; k < SpeechRules::kStatistics * size_t{kLldSize}; ++k) {
    const double* const row = &rules_.hidden[k * width];
    for (size_t h = 0; h < width; ++h) sums_[h] += inputs[k] * row[h];
  }
  double odds = rules_.out_bias;
  for (size_t h = 0; h < width; ++h) odds += std::max(sums_[h], 0.0) * rules_.out[h];
  return odds;
}

}  // namespace edgeaff
