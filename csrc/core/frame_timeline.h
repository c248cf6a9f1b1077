// Frames by tick. A frame that a tick takes is processed once, in time order, and its image is let go at once.
// Twin: FrameTimeline in edgeaff/reference/sync.py.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/tick_clock.h"

namespace edgeaff {

// The first frame of a tick that has not gone is certain to be taken: it is processed on arrival, so that memory holds one raw
// image at most. The newest other frame waits, in case a tick without its own frame needs it.
//
// Payload: movable, Keep() makes it independent of the caller's memory, Release() lets it go and keeps its room. Result: Clear()
// empties it and keeps its room. Frames are used again, so that nothing is allocated once as many have waited as ever do.
template <class Payload, class Result>
class FrameTimeline {
 public:
  using Process = std::function<void(int64_t pts_ns, Payload* payload, Result* result)>;

  // The frame that a tick takes. result: valid until the next call.
  struct Taken {
    int64_t pts_ns;
    const Result* result;
  };

  FrameTimeline(TickClock clock, Process process) : clock_(clock), process_(std::move(process)) {}

  // Accepts a frame newer than all before it. Returns whether it is late: its tick has gone without any its own frame, so
  // that this one can only stand in for a later tick.
  bool Push(int64_t pts_ns, Payload payload) {
    const int64_t tick = clock_.FrameTick(pts_ns);
    const std::optional<int64_t> previous = newest_tick_;
    const bool late = next_tick_ && tick < *next_tick_;
    if (late || tick == previous) payload.Keep();  // it waits, and the caller may use its buffer again
    Handle frame = Make(tick, pts_ns, std::move(payload));
    if (late) {
      held_ = std::move(frame);
    } else if (tick == previous) {
      newest_other_ = std::move(frame);
    } else {
      SettleGap(tick);
      Run(frame.get());
      if (newest_other_ && !first_of_tick_.empty()) {  // it belongs to the last waiting tick and stays there
        first_of_tick_.back().other = std::move(newest_other_);
      }
      newest_other_.reset();
      first_of_tick_.push_back({std::move(frame), {}});
    }
    newest_pts_ns_ = pts_ns;
    newest_tick_ = tick;
    return late && tick != previous;
  }

  // Whether the tick's frame, or anything later, is there.
  bool Ready(int64_t tick) const { return newest_tick_ && *newest_tick_ >= tick; }

  // The frame of a tick; empty when there is none at most kHoldNs old. Ticks are taken in order.
  std::optional<Taken> Take(int64_t tick) {
    next_tick_ = tick + 1;
    taken_.reset();
    size_t passed = 0;
    for (; passed < first_of_tick_.size() && first_of_tick_[passed].frame->tick <= tick; ++passed) {
      Waiting& waiting = first_of_tick_[passed];
      taken_.reset();
      if (waiting.frame->tick == tick) taken_ = waiting.frame;
      if (passed + 1 == first_of_tick_.size() && newest_other_) waiting.other = std::move(newest_other_);
      held_ = waiting.other ? std::move(waiting.other) : std::move(waiting.frame);
    }
    first_of_tick_.erase(first_of_tick_.begin(), first_of_tick_.begin() + static_cast<ptrdiff_t>(passed));
    if (!taken_) {
      if (!held_ || clock_.TickPtsNs(tick) - held_->pts_ns > kHoldNs) return std::nullopt;
      taken_ = held_;
    }
    Run(taken_.get());
    return Taken{taken_->pts_ns, &taken_->result};
  }

  // The pts of the newest frame that belongs to the tick taken last or an earlier one.
  std::optional<int64_t> NewestBefore() const { return held_ ? std::optional<int64_t>(held_->pts_ns) : std::nullopt; }

  std::optional<int64_t> newest_pts_ns() const { return newest_pts_ns_; }
  std::optional<int64_t> newest_tick() const { return newest_tick_; }

 private:
  struct Frame {
    int64_t tick = 0, pts_ns = 0;
    bool processed = false;
    Payload payload{};
    Result result{};
  };
  using Handle = std::shared_ptr<Frame>;
  struct Waiting {
    Handle frame, other;  // the first frame of a tick, and the newest other one of it
  };

  // A frame that nothing refers to any more, or a new one.
  Handle Make(int64_t tick, int64_t pts_ns, Payload payload) {
    auto free =
        std::find_if(frames_.begin(), frames_.end(), [](const Handle& frame) { return frame.use_count() == 1; });
    if (free == frames_.end()) free = frames_.insert(frames_.end(), std::make_shared<Frame>());
    Frame& frame = **free;
    frame.tick = tick, frame.pts_ns = pts_ns, frame.processed = false;
    frame.result.Clear();
    frame.payload = std::move(payload);
    return *free;
  }

  // Before a frame of a later tick is processed: processes the waiting frame if a tick between will take it.
  void SettleGap(int64_t tick) {
    if (!newest_tick_) return;
    Handle waiting = newest_other_;
    if (!waiting && held_ && first_of_tick_.empty()) waiting = held_;
    const int64_t after = *newest_tick_ + 1;
    const int64_t gap_tick = std::max(after, next_tick_.value_or(after));
    if (!waiting || gap_tick >= tick) return;
    if (clock_.TickPtsNs(gap_tick) - waiting->pts_ns <= kHoldNs) Run(waiting.get());
  }

  void Run(Frame* frame) {
    if (frame->processed) return;
    process_(frame->pts_ns, &frame->payload, &frame->result);
    frame->payload.Release();
    frame->processed = true;
  }

  TickClock clock_;
  Process process_;
  std::vector<Handle> frames_;          // all that were ever made, most of them in use nowhere
  std::vector<Waiting> first_of_tick_;  // in time order
  Handle newest_other_;                 // of the tick newest_tick_
  Handle held_, taken_;
  std::optional<int64_t> next_tick_, newest_pts_ns_, newest_tick_;
};

}  // namespace edgeaff
