#include "lld/pitch_candidates.h"

#include <cmath>
#include <initializer_list>
#include <utility>

#include "lld/octave_spectrum.h"

namespace edgeaff::lld {
namespace {

constexpr int kHarmonics = 15;
constexpr float kHarmonicDecay = 0.85f;
constexpr double kLowestHz = 52.0, kHighestHz = 620.0;

// Harmonic h lies log2 h octaves, so shift[h] points, above its fundamental.
struct Shifts {
  int shift[kHarmonics + 1];

  Shifts() {
    const double points = static_cast<float>(GetOctaveAxis().points_per_octave);
    for (int h = 1; h <= kHarmonics; ++h) shift[h] = static_cast<int>(std::floor(points * std::log2(h)));
  }
};

// S[j] = sum over h of 0.85^(h-1) A[j + shift(h)], over 15, in float32 as in the peer: the order of nearly equal peaks
// hangs on it.
void SubharmonicSum(const VectorOps& ops, const float* octaves, float* sums) {
  static const Shifts shifts;
  for (int j = 0; j < kLongBins; ++j) sums[j] = octaves[j];
  float weight = 1.0f;
  for (int h = 2; h <= kHarmonics; ++h) {
    weight *= kHarmonicDecay;
    ops.add_scaled(octaves + shifts.shift[h], weight, kLongBins - shifts.shift[h], sums);
  }
  for (int j = 0; j < kLongBins; ++j) {
    const float mean = sums[j] / static_cast<float>(kHarmonics);
    sums[j] = mean > 0.0f ? mean : 0.0f;
  }
}

// The (at most) six highest peaks, descending, the earlier first on ties. Returns their number.
int HighestPeaks(const VectorOps& ops, const float* sums, int* peaks) {
  uint8_t flags[kLongBins];
  ops.peak_flags(sums, kLongBins, false, flags);
  int count = 0;
  for (int j = 1; j < kLongBins - 1; ++j) {
    if (!flags[j]) continue;
    if (count == kCandidates && sums[j] <= sums[peaks[count - 1]]) continue;
    int place = count < kCandidates ? count++ : count - 1;
    for (; place > 0 && sums[peaks[place - 1]] < sums[j]; --place) peaks[place] = peaks[place - 1];
    peaks[place] = j;
  }
  return count;
}

}  // namespace

PitchCandidates FindPitchCandidates(const VectorOps& ops, const float* octaves) {
  const OctaveAxis& axis = GetOctaveAxis();
  float sums[kLongBins];
  SubharmonicSum(ops, octaves, sums);
  double mean = 0.0;
  for (int j = 0; j < kLongBins; ++j) mean += sums[j];
  mean /= kLongBins;

  PitchCandidates found = {};
  int peaks[kCandidates];
  const int count = HighestPeaks(ops, sums, peaks);
  int kept = 0, best = 0;
  for (int k = 0; k < count; ++k) {
    // A parabola through the peak and its neighbors, on the octave axis.
    const int j = peaks[k];
    const double before = sums[j - 1], here = sums[j], after = sums[j + 1];
    const double offset = 0.5 * (before - after) / (before - 2.0 * here + after);
    const double score = here - 0.25 * (before - after) * offset;
    const double frequency = std::exp2(axis.lowest + axis.step * (j + offset));
    if (frequency < kLowestHz || frequency > kHighestHz) continue;
    found.frequency_hz[kept] = static_cast<float>(frequency);
    found.voicing[kept] = score > mean ? static_cast<float>(1.0 - mean / score) : 0.0f;
    found.score[kept] = static_cast<float>(score);
    if (found.score[kept] > found.score[best]) best = kept;
    ++kept;
  }
  if (best > 0) {
    for (float* values : {found.frequency_hz, found.voicing, found.score}) std::swap(values[0], values[best]);
  }
  return found;
}

}  // namespace edgeaff::lld
