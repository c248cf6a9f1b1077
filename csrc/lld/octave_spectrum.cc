// The spline's second derivatives m solve a tridiagonal system whose matrix never changes, so its factors are tables:
//   h[i-1] m[i-1] + 2 (h[i-1] + h[i]) m[i] + h[i] m[i+1] = 6 ((a[i+1] - a[i]) / h[i] - (a[i] - a[i-1]) / h[i-1])
// is swept once forward (d) and once back (m); a new point is a mix of the two a and the two m beside it, also tables.
#include "lld/octave_spectrum.h"

#include <cmath>
#include <cstdint>

namespace edgeaff::lld {
namespace {

struct Tables {
  OctaveAxis axis;
  // Forward sweep: d[i] = left[i] a[i-1] + middle[i] a[i] + right[i] a[i+1] - forward[i] d[i-1].
  double left[kLongBins], middle[kLongBins], right[kLongBins], forward[kLongBins];
  double back[kLongBins];  // m[i] = d[i] - back[i] m[i+1]
  // Point j = weight_a a[segment] + weight_b a[segment+1] + weight_c m[segment] + weight_d m[segment+1].
  int segment[kLongBins];
  double weight_a[kLongBins], weight_b[kLongBins], weight_c[kLongBins], weight_d[kLongBins];
  double fade[kLongBins];

  Tables() {
    const double bin_hz = 1.0 / static_cast<double>(0.064f);  // the window's length as the peer rounds it
    double x[kLongBins], h[kLongBins - 1];
    for (int i = 1; i < kLongBins; ++i) x[i] = std::log2(i * bin_hz);
    x[0] = x[1] - 1.0;
    for (int i = 0; i < kLongBins - 1; ++i) h[i] = x[i + 1] - x[i];
    axis.lowest = std::log2(25.0);
    const double octaves = std::log2((kLongBins - 1) * bin_hz) - axis.lowest;
    axis.step = octaves / (kLongBins - 1);
    axis.points_per_octave = kLongBins / octaves;
    Factorise(h);
    Interpolate(x, h);
    const double shift = axis.points_per_octave * std::log2(65.0 / 50.0) - 1.0;
    for (int j = 0; j < kLongBins; ++j) {
      fade[j] = 0.5 + std::atan(3.0 * (j + 1 - shift) / axis.points_per_octave) / kPi;
    }
  }

  void Factorise(const double* h) {
    const int last = kLongBins - 1;
    left[0] = middle[0] = right[0] = forward[0] = back[0] = 0.0;  // natural: m is 0 at both ends
    left[last] = middle[last] = right[last] = forward[last] = back[last] = 0.0;
    for (int i = 1; i < last; ++i) {
      const double inverse = 1.0 / (2.0 * (h[i - 1] + h[i]) - h[i - 1] * back[i - 1]);
      forward[i] = h[i - 1] * inverse;
      back[i] = h[i] * inverse;
      left[i] = 6.0 / h[i - 1] * inverse;
      right[i] = 6.0 / h[i] * inverse;
      middle[i] = -(left[i] + right[i]);
    }
    back[last - 1] = 0.0;
  }

  void Interpolate(const double* x, const double* h) {
    int i = 0;
    for (int j = 0; j < kLongBins; ++j) {
      const double at = axis.lowest + axis.step * j;
      while (i < kLongBins - 2 && at >= x[i + 1]) ++i;
      const double a = (x[i + 1] - at) / h[i], b = 1.0 - a;
      segment[j] = i;
      weight_a[j] = a;
      weight_b[j] = b;
      weight_c[j] = (a * a * a - a) * h[i] * h[i] / 6.0;
      weight_d[j] = (b * b * b - b) * h[i] * h[i] / 6.0;
    }
  }
};

const Tables& Constants() {
  static const Tables tables;
  return tables;
}

// Zeroes what lies between two peaks, more than 2 bins from both. Before the first and after the last peak all stays,
// as does a spectrum without peaks; with a single peak only bins 0..2 stay (so in the peer). kept: (513).
void KeepPeaks(const VectorOps& ops, const float* magnitudes, double* kept) {
  constexpr int kLast = kLongBins - 1;
  uint8_t peak[kLongBins + 4] = {};  // two zeros on either side
  uint8_t* flags = peak + 2;
  ops.peak_flags(magnitudes, kLongBins, true, flags);
  flags[0] = magnitudes[0] > magnitudes[1];
  flags[kLast] = magnitudes[kLast] > magnitudes[kLast - 1];
  int first = 0, last = kLast;
  while (first < kLongBins && !flags[first]) ++first;
  while (last >= 0 && !flags[last]) --last;
  if (first >= last) {  // one peak or none
    const int end = first == last ? 3 : kLongBins;
    for (int i = 0; i < kLongBins; ++i) kept[i] = i < end ? magnitudes[i] : 0.0;
    return;
  }
  for (int i = 0; i < kLongBins; ++i) {
    const uint8_t near = flags[i - 2] | flags[i - 1] | flags[i] | flags[i + 1] | flags[i + 2];
    kept[i] = near ? static_cast<double>(magnitudes[i]) : 0.0;
  }
  for (int i = 0; i < first; ++i) kept[i] = magnitudes[i];
  for (int i = last + 1; i < kLongBins; ++i) kept[i] = magnitudes[i];
}

}  // namespace

const OctaveAxis& GetOctaveAxis() { return Constants().axis; }

void OctaveSpectrum(const VectorOps& ops, const float* magnitudes, float* octaves) {
  const Tables& t = Constants();
  constexpr int kLast = kLongBins - 1;
  double kept[kLongBins], a[kLongBins], m[kLongBins];
  KeepPeaks(ops, magnitudes, kept);
  a[0] = (2.0 * kept[0] + kept[1]) / 4.0;
  for (int i = 1; i < kLast; ++i) a[i] = (kept[i - 1] + 2.0 * kept[i] + kept[i + 1]) / 4.0;
  a[kLast] = kept[kLast];

  m[0] = m[kLast] = 0.0;
  for (int i = 1; i < kLast; ++i) m[i] = t.left[i] * a[i - 1] + t.middle[i] * a[i] + t.right[i] * a[i + 1];
  for (int i = 1; i < kLast; ++i) m[i] -= t.forward[i] * m[i - 1];
  for (int i = kLast - 1; i > 0; --i) m[i] -= t.back[i] * m[i + 1];

  for (int j = 0; j < kLongBins; ++j) {
    const int i = t.segment[j];
    const double y = t.weight_a[j] * a[i] + t.weight_b[j] * a[i + 1] + t.weight_c[j] * m[i] + t.weight_d[j] * m[i + 1];
    octaves[j] = static_cast<float>((y > 0.0 ? y : 0.0) * t.fade[j]);
  }
}

}  // namespace edgeaff::lld
