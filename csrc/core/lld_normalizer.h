// Normalization of the LLDs before the model: fixed statistics, or running ones that follow voice and microphone.
// Twin: edgeaff/features/normalize.py, which explains the rules.
#pragma once
#include <cstdint>

namespace edgeaff {

constexpr int kLldSize = 65;

// How LLDs are normalized. mean, std: of the training set, std > 0.
struct NormalizerRules {
  bool adaptive = true;
  double mean[kLldSize] = {}, std[kLldSize] = {};
  double half_life_seconds = 600.0, prior_seconds = 3.0, learning_seconds = 10.0;  // adaptive only
  double silence_gate_rms = 0.001;
  double step_seconds = 1.0 / 30;  // time between two rows
};

// Maps LLDs to the model's scale, causally.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // Goes back to before the first row.
  virtual void Reset() = 0;
  // Takes one finite row and writes it normalized.
  virtual void UpdateAndNormalize(const float* row, float* out) = 0;
};

// Takes one row at a time, in order, and keeps its state in double, so that chunking changes nothing.
class LldNormalizer : public Normalizer {
 public:
  explicit LldNormalizer(const NormalizerRules& rules);

  // Goes back to the fixed statistics.
  void Reset() override;

  // Takes one finite row and writes it normalized; the statistics include it.
  void UpdateAndNormalize(const float* row, float* out) override;

 private:
  void Update(const double* row, const bool* present);

  NormalizerRules rules_;
  double slow_gain_, learned_seconds_, least_variance_[kLldSize];
  double weight_[kLldSize], mean_[kLldSize], variance_[kLldSize];
};

}  // namespace edgeaff
