#include "lld/spectral.h"

#include <cmath>

#include "lld/float_power.h"

namespace edgeaff::lld {
namespace {

constexpr int kUsed = 256;  // bins 1..256: DC is left out
constexpr double kEntropyFloor = 1e-7;
constexpr double kSumFloor = 1e-7f;  // the peer keeps this one in float32: digital silence has an entropy of 4.3e-6
constexpr double kRollOffs[4] = {0.25, 0.50, 0.75, 0.90};

struct Tables {
  double frequency[kUsed];
  double sharpness[kUsed];  // 0.11 * Bark * weight of high Bark
  double frequency_sum = 0.0, slope_denominator;

  Tables() {
    double square_sum = 0.0;
    for (int i = 0; i < kUsed; ++i) {
      const double f = kShortBinHz * (i + 1);
      frequency[i] = f;
      frequency_sum += f;
      square_sum += f * f;
      double bark = 26.81 / (1.0 + 1960.0 / f) - 0.53;
      if (bark < 2.0)
        bark = 0.85 * bark + 0.3;
      else if (bark > 20.1)
        bark = 1.22 * bark - 0.22 * 20.1;
      const double weight = bark <= 16.0 ? 1.0 : std::pow((bark - 16.0) / 4.0, 1.5849625) + 1.0;
      sharpness[i] = 0.11 * bark * weight;
    }
    slope_denominator = kUsed * square_sum - frequency_sum * frequency_sum;
  }
};

const Tables& Constants() {
  static const Tables tables;
  return tables;
}

// What rounding may move the running sum by, as a share of the whole: 8e-8 measured on speech, noise and tones.
constexpr double kTie = 1e-6;

double RunningSum(const float* power, double* running) {  // bins 1..256 -> (256); returns the whole
  double sum = 0.0;
  for (int i = 0; i < kUsed; ++i) running[i] = sum += power[i + 1];
  return sum;
}

// First bins where the running sum reaches a share of the whole. Returns whether a share is met so closely that rounding decides.
bool RollOffBins(const double* running, double sum, int* bins) {
  bool tie = false;
  int i = 0;
  for (int r = 0; r < 4; ++r) {
    const double share = kRollOffs[r] * sum;
    while (i < kUsed - 1 && running[i] < share) ++i;
    bins[r] = i;
    tie = tie || running[i] - share < kTie * sum || (i > 0 && share - running[i - 1] < kTie * sum);
  }
  return tie;
}

// The whole energy and the four frequencies below which its shares lie. A flat or symmetric spectrum (one impulse or two in digital
// silence) meets a share exactly at a bin; there the peer's float32 rounding decides, so the spectrum is made again as the peer's.
double RollOffs(const float* power, const float* windowed, float* out) {
  double running[kUsed];
  int bins[4];
  const double sum = RunningSum(power, running);
  if (RollOffBins(running, sum, bins) && sum > 0.0) {
    float rounded[kShortBins];
    FloatPower(windowed, rounded);
    RollOffBins(running, RunningSum(rounded, running), bins);
  }
  for (int r = 0; r < 4; ++r) out[r] = static_cast<float>(kShortBinHz * (bins[r] + 1));
  return sum;
}

// Half of how far the power swings between its extrema in bins 3..254, over 256. power: bins 0..256, not rounded: two
// neighbors that are equal in float32 would hide an extremum that the peer's noise shows (it differs by no value).
float Harmonicity(const VectorOps& ops, const double* power) {
  uint8_t extremum[kShortBins];
  ops.extremum_flags(power, kShortBins, extremum);
  double sum = 0.0, last = -1.0;
  for (int i = 3; i <= 254; ++i) {
    if (!extremum[i]) continue;
    if (last >= 0.0) sum += std::abs(power[i] - last);
    last = power[i];
  }
  return static_cast<float>(sum / 2 / 256);
}

}  // namespace

void SpectralShape(const VectorOps& ops, const float* magnitudes, const float* power, const double* exact_power,
                   const float* windowed, const float* previous, float* out) {
  const Tables& tables = Constants();
  double p[kUsed];
  for (int i = 0; i < kUsed; ++i) p[i] = power[i + 1];

  double low = 0.8 * power[20], middle = 0.0;  // 650 Hz lies 0.8 of the way from bin 20 to bin 21
  for (int bin = 8; bin < 20; ++bin) low += power[bin];
  for (int bin = 32; bin <= 128; ++bin) middle += power[bin];
  out[0] = static_cast<float>(low / 256);
  out[1] = static_cast<float>(middle / 256);

  const double sum = RollOffs(power, windowed, out + 2);
  out[6] = previous == nullptr
               ? 0.0f
               : static_cast<float>(std::sqrt(ops.squared_difference(magnitudes + 1, previous + 1, kUsed) / kUsed));

  const double weighted = ops.dot_f64(tables.frequency, p, kUsed);
  const float centroid = sum > 0.0 ? static_cast<float>(weighted / sum) : 0.0f;
  double moments[3];
  ops.central_moments(p, tables.frequency, centroid, kUsed, moments);
  const double m2 = sum > 0.0 ? moments[0] / sum : 0.0;
  out[7] = centroid;
  const double entropy = ops.entropy_sum(p, kEntropyFloor, 1.0 / (sum > kSumFloor ? sum : kSumFloor), kUsed);
  out[8] = static_cast<float>(-entropy / std::log(2.0));
  out[9] = static_cast<float>(m2);
  out[10] = m2 > 0.0 ? static_cast<float>(moments[1] / sum / (m2 * std::sqrt(m2))) : 0.0f;
  out[11] = m2 > 0.0 ? static_cast<float>(moments[2] / sum / (m2 * m2)) : 0.0f;
  // The legacy scaling by n - 1 belongs to the definition.
  const double slope = (kUsed * weighted - tables.frequency_sum * sum) / tables.slope_denominator;
  out[12] = static_cast<float>(slope * (kUsed - 1));
  out[13] = sum > 0.0 ? static_cast<float>(ops.dot_f64(tables.sharpness, p, kUsed) / sum) : 0.0f;
  out[14] = Harmonicity(ops, exact_power);
}

}  // namespace edgeaff::lld
