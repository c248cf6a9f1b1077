#include "core/tick_scheduler.h"

#include <algorithm>

namespace edgeaff {
namespace {

constexpr Modality kModalities[] = {Modality::kVideo, Modality::kAudio, Modality::kClock};

void Raise(std::optional<int64_t>* value, int64_t to) { *value = value->has_value() ? std::max(**value, to) : to; }

}  // namespace

TickScheduler::TickScheduler(TickClock clock, int64_t skew_ns, bool video, bool audio, int64_t audio_need_ns)
    : clock_(clock), skew_ns_(skew_ns), audio_need_ns_(audio_need_ns), video_(video), audio_(audio) {}

void TickScheduler::Delivered(Modality who, int64_t pts_ns, std::optional<int64_t> first_pts_ns) {
  Raise(&reached_ns_[static_cast<int>(who)], pts_ns);
  if (next_tick_) return;
  const int64_t start = first_pts_ns.value_or(pts_ns);
  first_pts_ns_ = first_pts_ns_ ? std::min(*first_pts_ns_, start) : start;
}

int64_t TickScheduler::LateNs(int64_t pts_ns) const {
  if (!next_tick_) return 0;
  const std::optional<int64_t>& reached = reached_ns_[static_cast<int>(Modality::kAudio)];
  const int64_t start = reached ? std::max(pts_ns, *reached) : pts_ns;
  return std::max<int64_t>(0,
                           SaturatingSubtract(SaturatingAdd(clock_.TickPtsNs(*next_tick_ - 1), audio_need_ns_), start));
}

std::optional<int64_t> TickScheduler::CurrentTick() const {
  if (next_tick_) return next_tick_;
  if (!first_pts_ns_) return std::nullopt;
  return clock_.FrameTick(*first_pts_ns_);
}

std::optional<int64_t> TickScheduler::LastTick() const {
  std::optional<int64_t> last;
  if (const auto& video = reached_ns_[static_cast<int>(Modality::kVideo)]) last = clock_.FrameTick(*video);
  if (const auto& audio = reached_ns_[static_cast<int>(Modality::kAudio)]) {
    int64_t tick = clock_.FrameTick(*audio) + 1;
    while (clock_.TickPtsNs(tick) >= *audio) --tick;
    Raise(&last, tick);
  }
  return last;
}

std::optional<int64_t> TickScheduler::NewestNs() const {
  std::optional<int64_t> newest;
  for (const auto& reached : reached_ns_) {
    if (reached) Raise(&newest, *reached);
  }
  return newest;
}

bool TickScheduler::IsReached(int64_t tick) const {
  const auto last = LastTick();
  if (last && tick <= *last) return true;
  const auto& clock = reached_ns_[static_cast<int>(Modality::kClock)];
  return clock && *clock >= clock_.TickPtsNs(tick);
}

bool TickScheduler::VideoDone(int64_t tick, bool ready) const {
  return !video_ || ready || OthersReached(Modality::kVideo, clock_.FrameWindowEndNs(tick));
}

bool TickScheduler::AudioDone(int64_t tick) const {
  if (!audio_) return true;
  const int64_t need = SaturatingAdd(clock_.TickPtsNs(tick), audio_need_ns_);
  const auto& reached = reached_ns_[static_cast<int>(Modality::kAudio)];
  return (reached && *reached >= need) || OthersReached(Modality::kAudio, need);
}

bool TickScheduler::OthersReached(Modality waiting, int64_t instant_ns) const {
  const int64_t limit = SaturatingAdd(instant_ns, skew_ns_);
  for (const Modality who : kModalities) {
    const auto& reached = reached_ns_[static_cast<int>(who)];
    if (who != waiting && reached && *reached >= limit) return true;
  }
  return false;
}

}  // namespace edgeaff
