#include "core/lld_normalizer.h"

#include <algorithm>
#include <cmath>

namespace edgeaff {
namespace {

constexpr int kF0Column = 0, kLogHnrColumn = 5, kRmsColumn = 8;
constexpr int kCodedColumns[] = {0, 2, 3, 4, 5};
constexpr double kUnvoicedValues[] = {-2.0, 0.0, 0.0, 0.0, -2.0};
constexpr double kMixedBelowDb = -20.0;
constexpr double kLeastStdShare = 0.1;
constexpr double kLargestValue = 8.0;

}  // namespace

LldNormalizer::LldNormalizer(const NormalizerRules& rules)
    : rules_(rules),
      slow_gain_(rules.step_seconds * std::log(2.0) / rules.half_life_seconds),
      learned_seconds_(rules.prior_seconds + rules.learning_seconds) {
  for (int i = 0; i < kLldSize; ++i) {
    const double least = kLeastStdShare * rules_.std[i];
    least_variance_[i] = least * least;
  }
  Reset();
}

void LldNormalizer::Reset() {
  for (int i = 0; i < kLldSize; ++i) {
    weight_[i] = rules_.prior_seconds;
    mean_[i] = rules_.mean[i];
    variance_[i] = rules_.std[i] * rules_.std[i];
  }
}

void LldNormalizer::UpdateAndNormalize(const float* row, float* out) {
  double values[kLldSize];
  for (int i = 0; i < kLldSize; ++i) values[i] = static_cast<double>(row[i]);
  if (!rules_.adaptive) {
    for (int i = 0; i < kLldSize; ++i) out[i] = static_cast<float>((values[i] - rules_.mean[i]) / rules_.std[i]);
    return;
  }
  // A column is present where it has a value and not the code for "no voice".
  bool present[kLldSize];
  std::fill_n(present, kLldSize, true);
  const bool voiced = values[kF0Column] > 0;
  for (const int column : kCodedColumns) present[column] = voiced;
  present[kLogHnrColumn] = voiced && values[kLogHnrColumn] > kMixedBelowDb;
  if (values[kRmsColumn] > rules_.silence_gate_rms) Update(values, present);
  for (int i = 0; i < kLldSize; ++i) {
    const double scaled = (values[i] - mean_[i]) / std::sqrt(std::max(variance_[i], least_variance_[i]));
    out[i] = static_cast<float>(std::min(std::max(scaled, -kLargestValue), kLargestValue));
  }
  for (int k = 0; k < 5; ++k) {
    if (!present[kCodedColumns[k]]) out[kCodedColumns[k]] = static_cast<float>(kUnvoicedValues[k]);
  }
}

//   W' = W + dt,  g = dt / W' while W' <= prior + learning, then dt ln 2 / half_life,  m' = m + g (x - m),  v' = (1 - g) (v + g (x - m)^2)
void LldNormalizer::Update(const double* row, const bool* present) {
  for (int i = 0; i < kLldSize; ++i) {
    if (!present[i]) continue;
    weight_[i] += rules_.step_seconds;
    const double gain = weight_[i] <= learned_seconds_ ? rules_.step_seconds / weight_[i] : slow_gain_;
    const double change = row[i] - mean_[i];
    mean_[i] += gain * change;
    variance_[i] = (1 - gain) * (variance_[i] + gain * change * change);
  }
}

}  // namespace edgeaff
