// The clock gate: which input continues the timeline, restarts it, waits for a second one, or is dropped.
//
//               |<- newest start ... newest end ->|              what was delivered so far
//   -- jump ----|------- at most 10 s ------------|--- jump ---  where the next input may begin or end
//
// Twin: edgeaff/reference/gate.py, which states the contract of time.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "core/tick_clock.h"

namespace edgeaff {

enum class InputKind : int { kImage = 0, kFaces = 1, kSamples = 2, kRows = 3, kClock = 4 };

// The gap between [a_start, a_end] and [b_start, b_end], 0 where they touch; up to 2^64 - 1.
inline uint64_t GapNs(int64_t a_start, int64_t a_end, int64_t b_start, int64_t b_end) {
  if (b_start > a_end) return static_cast<uint64_t>(b_start) - static_cast<uint64_t>(a_end);
  if (a_start > b_end) return static_cast<uint64_t>(a_start) - static_cast<uint64_t>(b_end);
  return 0;
}

// One input on its way. end_ns: of its end, that of its beginning for a frame and for the clock; saturated.
// Payload: movable; Keep() makes it independent of the caller's memory.
template <class Payload>
struct Delivery {
  InputKind kind;
  int64_t start_ns, end_ns;
  Payload payload;
};

// What becomes of the inputs at hand. restart: all state restarts before `deliver`, which is in order.
template <class Payload>
struct Verdict {
  std::optional<Delivery<Payload>> deliver[2], dropped;
  bool restart = false;
};

// Judges inputs one by one. An input at most 10 s from the newest continues the timeline. One further away, before or after, is
// a jump: it is held until the next input, of any kind, lies within 1 s of it; then both restart the timeline. Otherwise it is
// dropped. A clock that goes on as before has no information about a frame or chunk that is held.
template <class Payload>
class ClockGate {
 public:
  using Item = Delivery<Payload>;

  // confirm: whether a jump needs a second input. In a file it does not: every frame counts.
  explicit ClockGate(bool confirm) : confirm_(confirm) {}

  Verdict<Payload> Offer(Item item) {
    Verdict<Payload> verdict;
    if (item.start_ns < kEarliestNs || item.end_ns > kLatestNs) {
      verdict.dropped = std::move(item);
      return verdict;
    }
    const bool confirms = held_ && GapNs(item.start_ns, item.end_ns, held_->start_ns, held_->end_ns) <= kJumpConfirmNs;
    if (!any_ || (GapNs(item.start_ns, item.end_ns, newest_start_, newest_end_) <= kJumpNs && !confirms)) {
      newest_start_ = any_ ? std::max(newest_start_, item.start_ns) : item.start_ns;
      newest_end_ = any_ ? std::max(newest_end_, item.end_ns) : item.end_ns;
      any_ = true;
      if (item.kind != InputKind::kClock) verdict.dropped = DropHeld();
      verdict.deliver[0] = std::move(item);
      return verdict;
    }
    if (confirm_ && !confirms) {
      item.payload.Keep();
      verdict.dropped = DropHeld();
      held_ = std::move(item);
      return verdict;
    }
    verdict.restart = true;
    newest_start_ = item.start_ns, newest_end_ = item.end_ns;
    if (held_) {
      newest_start_ = std::max(newest_start_, held_->start_ns);
      newest_end_ = std::max(newest_end_, held_->end_ns);
      verdict.deliver[0] = DropHeld();
      verdict.deliver[1] = std::move(item);
    } else {
      verdict.deliver[0] = std::move(item);
    }
    return verdict;
  }

  // Gives the input that was held, if any, and forgets it.
  std::optional<Item> DropHeld() {
    std::optional<Item> held = std::move(held_);
    held_.reset();
    return held;
  }

 private:
  bool confirm_, any_ = false;
  int64_t newest_start_ = 0, newest_end_ = 0;
  std::optional<Item> held_;
};

}  // namespace edgeaff
