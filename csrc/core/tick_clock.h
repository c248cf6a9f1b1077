// Arithmetic of time: int64 nanoseconds, floor division, and the ticks of the model clock. Exact without integers of 128 bits.
#pragma once
#include <cstdint>

namespace edgeaff {

constexpr int64_t kNanoseconds = 1'000'000'000, kMillisecond = 1'000'000;
constexpr int64_t kHopNs = 10 * kMillisecond;      // from one row of LLDs to the next
constexpr int64_t kHoldNs = kNanoseconds / 2;      // how long what was delivered last stands in for what is missing
constexpr int64_t kJumpNs = 10 * kNanoseconds;     // a larger step between two inputs is a jump of the clock
constexpr int64_t kJumpConfirmNs = kNanoseconds;   // a second input this close confirms a jump
constexpr int64_t kStepBackNs = kNanoseconds / 2;  // a smaller step back is jitter
constexpr int64_t kEarliestNs = INT64_MIN + kNanoseconds, kLatestNs = INT64_MAX - kNanoseconds;

// floor(a / b), b > 0.
constexpr int64_t FloorDiv(int64_t a, int64_t b) { return a / b - (a % b < 0); }

// Sums that stop at the ends of 64 bits, for comparisons near them.
inline int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return a < 0 ? INT64_MIN : INT64_MAX;
}
inline int64_t SaturatingSubtract(int64_t a, int64_t b) {
  int64_t difference = 0;
  if (!__builtin_sub_overflow(a, b, &difference)) return difference;
  return a < 0 ? INT64_MIN : INT64_MAX;
}

// floor((value * times + add) / over), over > 0, where over * times fits into 64 bits; stops at the ends of 64 bits.
inline int64_t Scale(int64_t value, int64_t times, int64_t over, int64_t add = 0) {
  const int64_t whole = FloorDiv(value, over);
  int64_t product = 0;
  if (__builtin_mul_overflow(whole, times, &product)) return whole < 0 ? INT64_MIN : INT64_MAX;
  return SaturatingAdd(product, FloorDiv((value - whole * over) * times + add, over));
}

// Seconds as nanoseconds, rounded half to even as Python's round() does.
int64_t RoundToNs(double seconds);

// Ticks of the model clock: tick k is at round(k * 10^9 / rate).
struct TickClock {
  int64_t rate_hz = 30;

  int64_t TickPtsNs(int64_t tick) const { return Scale(tick, 2 * kNanoseconds, 2 * rate_hz, rate_hz); }

  // The tick that a frame belongs to; the 1 ms keeps both neighbors of 60 fps on one side.
  int64_t FrameTick(int64_t pts_ns) const {
    return Scale(pts_ns - kMillisecond, rate_hz, kNanoseconds, kNanoseconds / 2);
  }

  // The first pts that belongs to the next tick: the ceiling of (tick * 10^9 + 10^9 / 2) / rate, and 1 ms.
  int64_t FrameWindowEndNs(int64_t tick) const {
    return SaturatingAdd(Scale(tick, kNanoseconds, rate_hz, kNanoseconds / 2 + rate_hz - 1), kMillisecond);
  }
};

}  // namespace edgeaff
