// Viterbi search for the smoothest path through the pitch candidates, with a bounded lag.
#pragma once
#include "lld/constants.h"
#include "lld/pitch_candidates.h"

namespace edgeaff::lld {

struct Pitch {
  float f0_hz;    // 0: unvoiced
  float voicing;  // of the state on the path; for unvoiced, of the first candidate
};

// Six candidates and "unvoiced" make 7 states. A frame is decided when all 7 best paths agree on it. max_lag < 29:
// agreement first, then the oldest frames are forced from the currently best path, so that frame t - max_lag is decided
// when frame t is in. max_lag = 29 keeps the peer's order: with more than 30 frames pending, force one instead of
// looking for agreement.
class PitchTracker {
 public:
  static constexpr int kMostDecided = kLongestPitchLag + 2;

  explicit PitchTracker(int max_lag) : max_lag_(max_lag) { Reset(); }
  void Reset();

  // Takes one frame; writes the frames decided now, oldest first, to `decided` (room for kMostDecided).
  // Returns the number of.
  int Step(const PitchCandidates& candidates, Pitch* decided);

  // The frames still open, from the best path.
  int Finish(Pitch* decided);

  int pending() const { return pending_; }

 private:
  static constexpr int kStates = kCandidates + 1;
  static constexpr int kUnvoiced = kCandidates;
  static constexpr int kRing = 32;  // > kMostDecided, power of two

  struct Node {
    PitchCandidates candidates;
    signed char from[kStates];  // state in the frame before, on the best path to each state
  };

  Node& At(int age) { return nodes_[(newest_ - age) & (kRing - 1)]; }
  void Advance(const PitchCandidates& now, const double* local, signed char* from);
  int Agreed(int state, signed char* path);
  int Emit(const signed char* path, int count, Pitch* decided);
  int BestState() const;

  int max_lag_;
  Node nodes_[kRing];
  unsigned newest_;
  int pending_;
  bool started_;
  double costs_[kStates];
  double log_before_[kCandidates];  // ln of the frequencies of the frame before
  double last_interval_;
};

}  // namespace edgeaff::lld
