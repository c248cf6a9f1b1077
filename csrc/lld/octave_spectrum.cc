// The spline's second derivatives m solve a tridiagonal system whose matrix never changes, so its factors are tables:
//   h[i-1] m[i-1] + 2 (h[i-1] + h[i]) m[i] + h[i] m[i+1] = 6 ((a[i+1] - a[i]) / h[i] - (a[i] - a[i-1]) / h[i-1])
// is swept once forward (d) and once back (m), by recurrences that vector_ops.h makes parallel; a new point is a mix of
// the two a and the two m beside it, also tables. With all of this in vectors: 5.0 us -> 1.7 us per frame (AVX-512).
#include "lld/octave_spectrum.h"

#include <cmath>
#include <cstdint>

namespace edgeaff::lld {
namespace {

struct Tables {
  OctaveAxis axis;
  double left[kLongBins], middle[kLongBins], right[kLongBins];
  Recurrence forward;   // d[i] = left[i] a[i-1] + middle[i] a[i] + right[i] a[i+1] - forward[i] d[i-1]
  Recurrence backward;  // m[i] = d[i] - back[i] m[i+1], index from the end
  // Point j = weight_a a[segment] + weight_b a[segment+1] + weight_c m[segment] + weight_d m[segment+1].
  int segment[kLongBins];
  double weight_a[kLongBins], weight_b[kLongBins], weight_c[kLongBins], weight_d[kLongBins];
  double fade[kLongBins];

  Tables() : forward(nullptr, 0), backward(nullptr, 0) {
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
    constexpr int kLast = kLongBins - 1;
    double ahead[kLongBins] = {}, back[kLongBins] = {};  // natural: m is 0 at both ends
    left[0] = middle[0] = right[0] = left[kLast] = middle[kLast] = right[kLast] = 0.0;
    for (int i = 1; i < kLast; ++i) {
      const double inverse = 1.0 / (2.0 * (h[i - 1] + h[i]) - h[i - 1] * back[i - 1]);
      ahead[i] = -h[i - 1] * inverse;
      back[i] = h[i] * inverse;
      left[i] = 6.0 / h[i - 1] * inverse;
      right[i] = 6.0 / h[i] * inverse;
      middle[i] = -(left[i] + right[i]);
    }
    double from_end[kLongBins];
    for (int i = 0; i < kLongBins; ++i) from_end[i] = -back[kLast - i];
    forward = Recurrence(ahead, kLongBins);
    backward = Recurrence(from_end, kLongBins);
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
  ops.keep_near(magnitudes, flags, kLongBins, kept);
  for (int i = 0; i < first; ++i) kept[i] = magnitudes[i];
  for (int i = last + 1; i < kLongBins; ++i) kept[i] = magnitudes[i];
}

}  // namespace

const OctaveAxis& GetOctaveAxis() { return Constants().axis; }

void OctaveSpectrum(const VectorOps& ops, const float* magnitudes, float* octaves) {
  const Tables& t = Constants();
  constexpr int kLast = kLongBins - 1;
  double kept[kLongBins], a[kLongBins];
  double d[Recurrence::kSize] = {}, m[Recurrence::kSize] = {};  // m from the end: m of bin i at kLast - i
  KeepPeaks(ops, magnitudes, kept);
  a[0] = (2.0 * kept[0] + kept[1]) / 4.0;
  for (int i = 1; i < kLast; ++i) a[i] = (kept[i - 1] + 2.0 * kept[i] + kept[i + 1]) / 4.0;
  a[kLast] = kept[kLast];

  for (int i = 1; i < kLast; ++i) d[i] = t.left[i] * a[i - 1] + t.middle[i] * a[i] + t.right[i] * a[i + 1];
  ops.solve_recurrence(t.forward, d);
  for (int i = 0; i < kLongBins; ++i) m[i] = d[kLast - i];
  ops.solve_recurrence(t.backward, m);

  const double* weights[4] = {t.weight_a, t.weight_b, t.weight_c, t.weight_d};
  ops.spline_points(t.segment, weights, t.fade, a, m, kLast, kLongBins, octaves);
}

}  // namespace edgeaff::lld
