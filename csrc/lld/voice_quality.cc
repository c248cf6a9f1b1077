// Within 25 % of the pitch period T = 16000 / F0, the lag with the highest correlation of a stretch with the one after
// it is the period found:
//
//   start          start+lag        start+2 lag
//     |<---- lag ----->|<---- lag ------>|        next start = start + lag (or + T where no lag is a peak)
//
// Means and energies of the stretches come from running sums, so only the cross products are computed per lag.
#include "lld/voice_quality.h"

#include <cmath>

namespace edgeaff::lld {
namespace {

constexpr double kCountedFrom = 0.5;       // correlation from which a period counts
constexpr int kMostLags = 200;             // 1.25 T - 0.75 T + 3 at 52 Hz: 157
constexpr int kMostStretch = 2 * 385 + 2;  // two of the longest lags
constexpr int kMostPeriods = 64;           // kMostSamples / (0.75 T at 620 Hz) + 2: 51
constexpr float kLowestHnr = -100.0f;

}  // namespace

struct VoiceQuality::Walk {
  float samples[kMostSamples];
  int count;              // samples
  int low, high, period;  // lags tried; T rounded
  int starts[kMostPeriods];
  int periods;                                  // number of starts
  int end, last;                                // where the walk ended, where the next frame goes on
  int last_lag;                                 // length of the last step
  int lengths, length_changes, second_changes;  // numbers of
  // float32, added up from first to last, as in the peer: an exact 0 between two lengths matters.
  float length_sum, length_change_sum, second_change_sum, amplitude_sum, amplitude_change_sum;

  void Prepare() {
    periods = end = last = last_lag = lengths = length_changes = second_changes = 0;
    length_sum = length_change_sum = second_change_sum = amplitude_sum = amplitude_change_sum = 0.0f;
  }

  // Correlation of the stretch from `start` with the one after it, for each lag; NaN where either is constant. Its bits
  // depend on the samples 0..2 high after start alone: two frames may examine one period, and its length must then be
  // exactly the same (a change of 0 is its own value; test_lld_native.py, test_native_repeats_a_period_exactly).
  void Correlate(const VectorOps& ops, int start, double* correlations) const {
    double exact[kMostStretch], sums[kMostStretch + 1], squares[kMostStretch + 1], dots[kMostLags];
    int changes[kMostStretch];  // samples 1..i that differ from the one before
    const float* stretch = samples + start;
    const int size = 2 * high;
    // No offset is taken off: unchanged, float32 samples add up exactly in double, so covariances that are 0 (a
    // stretch in digital silence but for a few samples) come out as 0, and as ties.
    for (int i = 0; i < size; ++i) exact[i] = stretch[i];
    changes[0] = 0;
    for (int i = 1; i < size; ++i) changes[i] = changes[i - 1] + (stretch[i] != stretch[i - 1]);
    sums[0] = squares[0] = 0.0;
    for (int i = 0; i < size; ++i) {
      sums[i + 1] = sums[i] + exact[i];
      squares[i + 1] = squares[i] + exact[i] * exact[i];
    }
    ops.lag_dots(exact, low, high, dots);
    ops.correlations(dots, sums, squares, changes, low, high, correlations);
  }

  // The highest strict peak inside the lags, as index into correlations; 0 if there is none.
  int HighestPeak(const double* correlations) const {
    int best = 0;
    for (int k = 1; k <= high - low - 2; ++k) {
      const bool peak = correlations[k] > correlations[k - 1] && correlations[k] > correlations[k + 1];
      if (peak && (best == 0 || correlations[k] > correlations[best])) best = k;
    }
    return best;
  }

  // 20 log10 of the RMS of the average period over that of what differs from it. All in float32, sums from first to
  // last: where nothing but rounding differs (one period after silence, perfectly periodic audio) the result, and
  // whether it is exactly 0, depends on it.
  float LogHnr() {
    starts[periods] = end;  // the stretch after the last period takes part
    const int number = periods + 1;
    float average[kMostSamples];
    for (int i = 0; i < period; ++i) average[i] = samples[starts[0] + i];
    for (int k = 1; k < number; ++k) {
      const float* stretch = samples + starts[k];
      for (int i = 0; i < period; ++i) average[i] += stretch[i];
    }
    for (int i = 0; i < period; ++i) average[i] /= static_cast<float>(number);
    float harmonic = 0.0f;
    for (int i = 3; i < period - 2; ++i) harmonic += average[i] * average[i];
    harmonic = std::sqrt(harmonic / static_cast<float>(period - 4));
    float noise = 0.0f;
    int used = 0;
    for (int k = 0; k < number; ++k) {
      const int length = k + 1 < number ? starts[k + 1] - starts[k] : last_lag;
      const int stop = (length < period ? length : period) - 2;
      const float* stretch = samples + starts[k];
      for (int i = 2; i < stop; ++i) {
        const float difference = stretch[i] - average[i];
        noise += difference * difference;
      }
      if (stop > 2) used += stop - 2;
    }
    noise = used > 0 ? std::sqrt(noise / static_cast<float>(used)) : 0.0f;
    if (!(noise > 0.0f)) return 0.0f;
    if (!(harmonic > 0.0f)) return kLowestHnr;
    const float ratio = static_cast<float>(20.0 * std::log10(static_cast<double>(harmonic / noise)));
    return ratio < kLowestHnr ? kLowestHnr : ratio;
  }
};

void VoiceQuality::Reset() {
  next_ = 0;
  carry_ = 0;
  last_length_ = last_change_ = 0.0f;
  held_jitter_ = held_ddp_ = held_shimmer_ = 0.0f;
}

void VoiceQuality::Count(const VectorOps& ops, Walk& walk, int start, int lag, float length) {
  ++walk.lengths;
  walk.length_sum += length;
  if (last_length_ > 0.0f) {
    const float change = std::abs(length - last_length_);
    ++walk.length_changes;
    walk.length_change_sum += change;
    if (last_change_ > 0.0f) {
      ++walk.second_changes;
      walk.second_change_sum += std::abs(change - last_change_);
    }
    last_change_ = change;
  }
  last_length_ = length;
  const float first = ops.peak_to_peak(walk.samples + start + 1, lag - 2);
  const float second = ops.peak_to_peak(walk.samples + start + lag + 1, lag - 2);
  walk.amplitude_sum += (first + second) / 2.0f;
  walk.amplitude_change_sum += std::abs(first - second);
}

void VoiceQuality::Search(const VectorOps& ops, Walk& walk, int base) {
  double correlations[kMostLags];
  int start = 0;
  while (start < walk.count - 2 * walk.high - 1) {
    walk.Correlate(ops, start, correlations);
    const int at = walk.HighestPeak(correlations);
    int step = walk.last_lag = walk.period;
    if (at > 0) {
      walk.starts[walk.periods++] = start;
      const double before = correlations[at - 1], here = correlations[at], after = correlations[at + 1];
      const double offset = 0.5 * (before - after) / (before - 2.0 * here + after);
      step = walk.last_lag = walk.low + at;
      if (here - 0.25 * (before - after) * offset > kCountedFrom) {
        Count(ops, walk, start, step, static_cast<float>((step + offset) / kSampleRateHz));
      }
    }
    start += step;
    if (start < base - 1) walk.last = start;
  }
  walk.end = start;
}

Quality VoiceQuality::Summarize(const Walk& walk) {
  if (walk.lengths == 0) return {held_jitter_, held_ddp_, held_shimmer_, 0.0f};
  Quality quality = {};
  const auto bounded = [](float value) { return value < 1.0f ? value : 1.0f; };
  const float mean = walk.length_sum / static_cast<float>(walk.lengths);
  if (walk.length_changes > 0) {
    const float change = walk.length_change_sum / static_cast<float>(walk.length_changes);
    quality.jitter_local = held_jitter_ = bounded(change / mean);
  }
  if (walk.second_changes > 0) {
    const float change = walk.second_change_sum / static_cast<float>(walk.second_changes);
    quality.jitter_ddp = held_ddp_ = bounded(change / mean);
  }
  if (walk.amplitude_sum > 0.0f) {
    quality.shimmer_local = held_shimmer_ = bounded(walk.amplitude_change_sum / walk.amplitude_sum);
  }
  return quality;
}

Quality VoiceQuality::Step(const VectorOps& ops, int64_t frame, float f0_hz, const SampleHistory& history) {
  if (!(f0_hz > 0.0f)) {
    Reset();
    next_ = kHop * (frame + 1);
    return {0.0f, 0.0f, 0.0f, kLowestHnr};
  }
  Walk walk;
  const int base = kHop + carry_;
  const double period = kSampleRateHz / static_cast<double>(f0_hz);
  walk.low = static_cast<int>(std::floor(0.75 * period));
  walk.high = static_cast<int>(std::ceil(1.25 * period));
  walk.period = static_cast<int>(std::floor(period + 0.5));
  walk.count = base > 2 * walk.high + 2 ? base : 2 * walk.high + 2;
  history.Copy(next_, walk.count, walk.samples);
  walk.Prepare();
  Search(ops, walk, base);
  carry_ = base - walk.last;
  next_ += walk.last;
  Quality quality = Summarize(walk);
  quality.log_hnr = walk.LogHnr();
  return quality;
}

}  // namespace edgeaff::lld
