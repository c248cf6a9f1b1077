#include "core/audio_clock.h"

#include <algorithm>
#include <cstddef>

#include "core/tick_clock.h"

namespace edgeaff {
namespace {

constexpr int64_t kContinuousNs = 20 * kMillisecond;
constexpr int64_t kAgreementNs = kMillisecond;
constexpr int64_t kFillLimitNs = 200 * kMillisecond;
constexpr int64_t kSlewDivisor = 1000;  // 1000 ppm
constexpr int64_t kRowMemoryNs = 4 * kNanoseconds;
constexpr size_t kUsualKnots = 512, kUsualHoles = 32;

// Samples of a stretch of time >= 0, rounded.
int64_t SamplesIn(int64_t duration_ns, int rate_hz) {
  return Scale(duration_ns, rate_hz, kNanoseconds, kNanoseconds / 2);
}

// Samples at the head of a chunk that lie before the end of the audio so far.
int64_t Overlap(int64_t difference, int64_t count, int rate_hz) {
  if (difference >= -kContinuousNs) return 0;
  return std::min(count, SamplesIn(SaturatingSubtract(0, difference), rate_hz));
}

}  // namespace

AudioClock::AudioClock() : knots_{{0, 0}} {
  knots_.reserve(kUsualKnots);
  holes_.reserve(kUsualHoles);
}

int64_t AudioClock::NominalEndNs() const { return rate_hz_ == 0 ? 0 : Scale(count_, kNanoseconds, rate_hz_); }

bool AudioClock::TouchesHole(int64_t start_ns, int64_t end_ns) const {
  for (const Hole& hole : holes_) {
    if (start_ns < hole.end && hole.start < end_ns) return true;
  }
  return false;
}

Placement AudioClock::Place(int64_t pts_ns, int64_t count, int rate_hz) {
  const int64_t difference = SaturatingSubtract(pts_ns, EndPtsNs());
  if (rate_hz_ == 0 || difference > kFillLimitNs) return Restart(pts_ns, count, rate_hz);
  if (rate_hz != rate_hz_) {
    const int64_t skip = Overlap(difference, count, rate_hz);
    if (skip == count) return {false, skip, 0};
    Restart(pts_ns + Scale(skip, kNanoseconds, rate_hz), count - skip, rate_hz);
    return {true, skip, 0};
  }
  if (difference > kContinuousNs) {
    const int64_t fill = SamplesIn(difference, rate_hz), hole_start = NominalEndNs();
    count_ += fill;
    holes_.push_back({hole_start, NominalEndNs()});
    Prune();
    count_ += count;
    return {false, 0, fill};
  }
  if (difference < -kContinuousNs) {
    const int64_t skip = Overlap(difference, count, rate_hz);
    count_ += count - skip;
    return {false, skip, 0};
  }
  Slew(difference, count);
  count_ += count;
  return {};
}

Placement AudioClock::Restart(int64_t pts_ns, int64_t count, int rate_hz) {
  rate_hz_ = rate_hz;
  start_ns_ = pts_ns;
  count_ = count;
  knots_.assign(1, {0, 0});
  holes_.clear();
  return {true, 0, 0};
}

// Bends the clock towards the chunk's pts, at most 1000 ppm, until they agree.
void AudioClock::Slew(int64_t difference, int64_t count) {
  const int64_t missing = (difference < 0 ? -difference : difference) - kAgreementNs;
  if (missing <= 0) return;
  const int64_t start = NominalEndNs();
  const int64_t span = std::min(Scale(count, kNanoseconds, rate_hz_), missing * kSlewDivisor);
  const int64_t correction = Correction(start), step = span / kSlewDivisor;
  knots_.push_back({start, correction});
  knots_.push_back({start + span, correction + (difference > 0 ? step : -step)});
  Prune();
}

int64_t AudioClock::Correction(int64_t nominal_ns) const {
  const auto after = std::upper_bound(knots_.begin(), knots_.end(), nominal_ns,
                                      [](int64_t value, const Knot& knot) { return value < knot.nominal; });
  if (after == knots_.begin()) return knots_.front().correction;
  if (after == knots_.end()) return knots_.back().correction;
  const Knot &left = *(after - 1), &right = *after;
  if (right.nominal <= left.nominal) return right.correction;
  // At most 19 ms of correction over 19 s: 4e17 fits.
  return left.correction +
         FloorDiv((right.correction - left.correction) * (nominal_ns - left.nominal), right.nominal - left.nominal);
}

void AudioClock::Prune() {
  const int64_t horizon = NominalEndNs() - kRowMemoryNs;
  const auto first = std::lower_bound(knots_.begin(), knots_.end(), horizon,
                                      [](const Knot& knot, int64_t value) { return knot.nominal < value; });
  const auto keep = std::max<ptrdiff_t>(0, first - knots_.begin() - 1);
  knots_.erase(knots_.begin(), knots_.begin() + keep);
  holes_.erase(std::remove_if(holes_.begin(), holes_.end(), [&](const Hole& hole) { return hole.end < horizon; }),
               holes_.end());
}

}  // namespace edgeaff
