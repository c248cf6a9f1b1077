// The speech gate: audio counts as evidence only while somebody speaks. Twin: edgeaff/features/speech.py, which explains the rule.
#pragma once
#include <cstdint>
#include <vector>

#include "core/lld_normalizer.h"

namespace edgeaff {

// Weights of the gate. Empty hidden_bias: there is no gate, and all audio counts.
struct SpeechRules {
  static constexpr int kStatistics = 4, kMostHidden = 256;
  std::vector<double> factor, mean, std;         // (65)
  std::vector<double> hidden, hidden_bias, out;  // (4 * 65, H), (H), (H)
  double out_bias = 0, open_above = 0, close_below = 0, least_rms = 0;
  int hold_steps = 0;
};

// Decides, causally, whether somebody speaks.
class VoiceGate {
 public:
  virtual ~VoiceGate() = default;
  // Goes back to before the first row.
  virtual void Reset() = 0;
  // Takes one finite row, not normalized, and gives whether somebody speaks, or did within the hold.
  virtual bool Push(const float* lld) = 0;
};

class SpeechGate : public VoiceGate {
 public:
  SpeechGate(const SpeechRules& rules, double step_seconds);

  void Reset() override;
  bool Push(const float* lld) override;

 private:
  double Odds(const float* lld);

  SpeechRules rules_;
  double short_gain_, slow_gain_;
  double state_[SpeechRules::kStatistics][kLldSize] = {};  // short, slow, rough, swing
  std::vector<double> sums_;
  int quiet_steps_;
};

}  // namespace edgeaff
