#include "lld/mel.h"

#include <cmath>

namespace edgeaff::lld {
namespace {

constexpr double kMelFloor = 9.3e-10;
constexpr double kCompression = 0.33;
constexpr double kPcmScale = 32767.0;
constexpr int kFirstBin = 2, kLastBin = 255;
constexpr int kWarmUp = 5;  // frames until RASTA speaks

double Mel(double frequency_hz) { return 1127.0 * std::log(1.0 + frequency_hz / 700.0); }

// Equal-loudness weight of a frequency; w is the angular frequency. The exponent 7 is what the definition computes.
double EqualLoudness(double frequency_hz) {
  const double w2 = std::pow(2 * kPi * frequency_hz, 2);
  return 1e32 * (w2 + 56.8e6) * w2 * w2 / (std::pow(w2 + 6.3e6, 2) * (w2 + 0.38e9) * (std::pow(w2, 3.5) + 1.7e31));
}

struct Tables {
  // Bins first[k] .. first[k+1]-1 lie between the points k and k+1; there filter k rises by 1 - falling[bin], and
  // filter k-1 falls by falling[bin] (filter m peaks at point m+1).
  int first[kBands + 2];
  double falling[kShortBins];
  double log_loudness[kBands];
  double mfcc[kMfcc][kBands];
  double rasta_b[5];
  double rasta_pole;

  Tables() {
    double points[kBands + 2];
    const double low = Mel(20.0), high = Mel(8000.0);
    for (int k = 0; k < kBands + 2; ++k) points[k] = low + (high - low) * k / (kBands + 1);
    int bin = kFirstBin;
    for (int k = 0; k <= kBands; ++k) {
      first[k] = bin;
      for (; bin <= kLastBin && Mel(bin * kShortBinHz) < points[k + 1]; ++bin) {
        falling[bin] = (points[k + 1] - Mel(bin * kShortBinHz)) / (points[k + 1] - points[k]);
      }
    }
    first[kBands + 1] = kLastBin + 1;
    for (int m = 0; m < kBands; ++m) {
      log_loudness[m] = std::log(EqualLoudness(700.0 * (std::exp(points[m + 1] / 1127.0) - 1.0)));
    }
    for (int i = 1; i <= kMfcc; ++i) {
      const double lifter = std::sqrt(2.0 / kBands) * (1.0 + 11.0 * std::sin(kPi * i / 22.0));
      for (int m = 0; m < kBands; ++m) mfcc[i - 1][m] = lifter * std::cos(kPi * i * (m + 0.5) / kBands);
    }
    const double upper = std::cos(2 * kPi * 29 * 0.01);
    const double norm = std::sqrt(10.0 * (32.0 * upper * upper + 8.0));
    const double taps[5] = {2.0, -4.0 * upper, 0.0, 4.0 * upper, -2.0};
    for (int i = 0; i < 5; ++i) rasta_b[i] = taps[i] / norm;
    rasta_pole = 1.0 - std::sin(2 * kPi * 0.01);
  }
};

const Tables& Constants() {
  static const Tables tables;
  return tables;
}

}  // namespace

void MelBands(const float* power, float* bands) {
  const Tables& tables = Constants();
  double rising_below = 0.0;  // what the segment below gives to this filter
  for (int k = 0; k <= kBands; ++k) {
    double falling = 0.0, rising = 0.0;
    for (int bin = tables.first[k]; bin < tables.first[k + 1]; ++bin) {
      const double p = power[bin];
      falling += tables.falling[bin] * p;
      rising += (1.0 - tables.falling[bin]) * p;
    }
    if (k > 0) bands[k - 1] = static_cast<float>(rising_below + falling);
    rising_below = rising;
  }
}

void LogBands(const VectorOps& ops, const float* bands, double* logs) {
  double floored[kBands];
  for (int m = 0; m < kBands; ++m) floored[m] = bands[m] > kMelFloor ? bands[m] : kMelFloor;
  ops.log_f64(floored, logs, kBands);
}

float AuditoryLength(const VectorOps& ops, const double* logs) {
  const Tables& tables = Constants();
  double compressed[kBands];
  for (int m = 0; m < kBands; ++m) compressed[m] = kCompression * (logs[m] + tables.log_loudness[m]);
  ops.exp_f64(compressed, compressed, kBands);
  double sum = 0.0;
  for (int m = 0; m < kBands; ++m) sum += compressed[m];
  return static_cast<float>(sum / kBands);
}

void Mfcc(const VectorOps& ops, const double* logs, float* coefficients) {
  const Tables& tables = Constants();
  static const double kLogScale = 2.0 * std::log(kPcmScale);
  double scaled[kBands];  // ln max(band * 32767^2, 1); the floor of LogBands lies just below that 1
  for (int m = 0; m < kBands; ++m) scaled[m] = logs[m] + kLogScale > 0.0 ? logs[m] + kLogScale : 0.0;
  for (int i = 0; i < kMfcc; ++i) coefficients[i] = static_cast<float>(ops.dot_f64(tables.mfcc[i], scaled, kBands));
}

void RastaFilter::Reset() {
  for (auto& row : z_) {
    for (double& value : row) value = 0.0;
  }
  frames_ = 0;
}

void RastaFilter::Step(const VectorOps& ops, const double* logs, float* bands) {
  const Tables& tables = Constants();
  const double* b = tables.rasta_b;
  const bool warm = frames_ >= kWarmUp;
  const double pole = warm ? tables.rasta_pole : 0.0;
  double out[kBands];
  for (int m = 0; m < kBands; ++m) {
    const double filtered = b[0] * logs[m] + z_[0][m];
    z_[0][m] = b[1] * logs[m] + z_[1][m] + pole * filtered;
    z_[1][m] = b[2] * logs[m] + z_[2][m];
    z_[2][m] = b[3] * logs[m] + z_[3][m];
    z_[3][m] = b[4] * logs[m];
    out[m] = kCompression * ((warm ? filtered : 0.0) + tables.log_loudness[m]);
  }
  if (!warm) ++frames_;
  ops.exp_f64(out, out, kBands);
  for (int m = 0; m < kBands; ++m) bands[m] = static_cast<float>(out[m]);
}

}  // namespace edgeaff::lld
