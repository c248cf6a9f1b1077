// Decides which tick may go. Twin: TickScheduler in edgeaff/reference/sync.py.
#pragma once
#include <cstdint>
#include <optional>

#include "core/tick_clock.h"

namespace edgeaff {

enum class Modality : int { kVideo = 0, kAudio = 1, kClock = 2 };  // kClock: advance, a delivery of nothing

// For a tick, a modality has a last instant that it can use. The tick waits for that modality until it has delivered what is
// taken, or anything later, or until another declared modality or the clock has reached that instant + skew_ns.
class TickScheduler {
 public:
  // audio_need_ns: after the tick (negative: before it), the end of the last sample that its rows need.
  TickScheduler(TickClock clock, int64_t skew_ns, bool video, bool audio, int64_t audio_need_ns);

  // Notes that a modality has delivered up to pts_ns; first_pts_ns: where that delivery began, pts_ns without it.
  void Delivered(Modality who, int64_t pts_ns, std::optional<int64_t> first_pts_ns = std::nullopt);

  // How much of new audio from pts_ns on only ticks that have gone could have used.
  int64_t LateNs(int64_t pts_ns) const;

  // The next tick to go; empty before the first delivery.
  std::optional<int64_t> CurrentTick() const;

  // Whether the tick waits for nothing any more, and the data (or the clock) reach as far as it.
  bool MayGo(int64_t tick, bool video_ready) const {
    return IsReached(tick) && VideoDone(tick, video_ready) && AudioDone(tick);
  }

  void Went(int64_t tick) { next_tick_ = tick + 1; }

  // The last tick of the data so far: of the last frame, or the last before the end of the audio.
  std::optional<int64_t> LastTick() const;

  std::optional<int64_t> NewestNs() const;  // the latest instant that anything has reached
  std::optional<int64_t> first_pts_ns() const { return first_pts_ns_; }
  std::optional<int64_t> next_tick() const { return next_tick_; }
  int64_t audio_need_ns() const { return audio_need_ns_; }
  const TickClock& clock() const { return clock_; }

 private:
  bool IsReached(int64_t tick) const;
  bool VideoDone(int64_t tick, bool ready) const;
  bool AudioDone(int64_t tick) const;
  bool OthersReached(Modality waiting, int64_t instant_ns) const;

  TickClock clock_;
  int64_t skew_ns_, audio_need_ns_;
  bool video_, audio_;
  std::optional<int64_t> first_pts_ns_, next_tick_;
  std::optional<int64_t> reached_ns_[3];  // by Modality: pts of the last frame, end of the audio, the clock
};

}  // namespace edgeaff
