#include "lld/pitch_tracker.h"

#include <cmath>

namespace edgeaff::lld {
namespace {

constexpr double kVoicedFrom = 0.7;
constexpr double kBarrier = 999.0;     // stands for the interval to or from an empty place
constexpr double kRebase = 1048576.0;  // 2^20: subtracting it from a larger double loses no bit of the rest
constexpr double kChangeCost = 10.0, kUnvoicedStayCost = 1.0, kIntervalCost = 10.0;

double FrequencyCost(double f) {
  if (f <= 0.0) return 2.0;
  if (f < 100.0) return 1.0 - f / 100.0;
  if (f <= 350.0) return 0.0;
  return f <= 600.0 ? (f - 350.0) / 250.0 : 1.2;
}

// Cost of being in each state: candidate 2 (-ln v + 4 [v < 0.7]) + w(f); unvoiced 8 if any candidate has v >= 0.7.
void LocalCosts(const PitchCandidates& candidates, double* costs) {
  double unvoiced = 0.0;
  for (int k = 0; k < kCandidates; ++k) {
    const double v = candidates.voicing[k];
    const bool voiced = v >= kVoicedFrom;
    const double clipped = v < 0.01 ? 0.01 : (v > 1.0 ? 1.0 : v);
    costs[k] = 2.0 * (-std::log(clipped) + (voiced ? 0.0 : 4.0)) + FrequencyCost(candidates.frequency_hz[k]);
    if (voiced) unvoiced = 8.0;
  }
  costs[kCandidates] = unvoiced;
}

// Natural logarithms of the candidates' frequencies; 0 for empty places.
void LogFrequencies(const PitchCandidates& candidates, double* logs) {
  for (int k = 0; k < kCandidates; ++k) {
    const double f = candidates.frequency_hz[k];
    logs[k] = f > 0.0 ? std::log(f) : 0.0;
  }
}

}  // namespace

void PitchTracker::Reset() {
  newest_ = 0;
  pending_ = 0;
  started_ = false;
  last_interval_ = 1.0;
}

int PitchTracker::BestState() const {
  int best = 0;
  for (int state = 1; state < kStates; ++state) {
    if (costs_[state] < costs_[best]) best = state;
  }
  return best;
}

// The transition between two voiced states compares their interval with that of the last evaluated pair, in the order
// of these loops and across frames: a peculiarity of the definition. Ties go to the lowest state.
void PitchTracker::Advance(const PitchCandidates& now, const double* local, signed char* from) {
  const PitchCandidates& before = At(1).candidates;
  double log_now[kCandidates];
  LogFrequencies(now, log_now);
  double costs[kStates];
  for (int state = 0; state < kStates; ++state) {
    double best = 0.0;
    for (int old = 0; old < kStates; ++old) {
      double transition;
      if (state == kUnvoiced && old == kUnvoiced) {
        transition = kUnvoicedStayCost;
      } else if (state == kUnvoiced || old == kUnvoiced) {
        transition = kChangeCost;
        last_interval_ = 0.0;
      } else if (now.frequency_hz[state] > 0.0f && before.frequency_hz[old] > 0.0f) {
        const double interval = log_now[state] - log_before_[old];
        transition = kIntervalCost * std::abs(interval) + kIntervalCost * std::abs(interval - last_interval_);
        last_interval_ = interval;
      } else {
        transition = kIntervalCost * kBarrier + kIntervalCost * std::abs(kBarrier - last_interval_);
      }
      const double total = costs_[old] + transition;
      if (old == 0 || total < best) {
        best = total;
        from[state] = static_cast<signed char>(old);
      }
    }
    costs[state] = best + local[state];
  }
  for (int state = 0; state < kStates; ++state) costs_[state] = costs[state];
  for (int k = 0; k < kCandidates; ++k) log_before_[k] = log_now[k];
  if (costs_[BestState()] > kRebase) {
    for (double& cost : costs_) cost -= kRebase;
  }
}

// Walks the path of `state` back through the pending frames: path[age]. Returns the number of of the oldest frames all paths
// agree on.
int PitchTracker::Agreed(int state, signed char* path) {
  signed char others[kStates];
  for (int k = 0; k < kStates; ++k) others[k] = static_cast<signed char>(k);
  int agreed_from = pending_;  // youngest age at which all agree; older ones then agree too
  for (int age = 0; age < pending_; ++age) {
    path[age] = others[state];
    if (agreed_from == pending_) {
      bool same = true;
      for (int k = 1; k < kStates; ++k) same &= others[k] == others[0];
      if (same) agreed_from = age;
    }
    const Node& node = At(age);
    for (signed char& other : others) other = node.from[static_cast<int>(other)];
  }
  return pending_ - agreed_from;
}

int PitchTracker::Emit(const signed char* path, int count, Pitch* decided) {
  for (int k = 0; k < count; ++k) {
    const int age = pending_ - 1 - k;
    const PitchCandidates& candidates = At(age).candidates;
    const int state = path[age];
    if (state == kUnvoiced)
      decided[k] = {0.0f, candidates.voicing[0]};
    else
      decided[k] = {candidates.frequency_hz[state], candidates.voicing[state]};
  }
  pending_ -= count;
  return count;
}

int PitchTracker::Step(const PitchCandidates& candidates, Pitch* decided) {
  double local[kStates];
  LocalCosts(candidates, local);
  ++newest_;
  Node& node = At(0);
  node.candidates = candidates;
  for (int k = 0; k < kStates; ++k) node.from[k] = 0;
  if (started_) {
    Advance(candidates, local, node.from);
  } else {
    started_ = true;
    for (int k = 0; k < kStates; ++k) costs_[k] = local[k];
    LogFrequencies(candidates, log_before_);
  }
  ++pending_;
  signed char path[kMostDecided + 1];
  int count = Agreed(BestState(), path);
  if (max_lag_ == kLongestPitchLag) {
    if (pending_ > kLongestPitchLag + 1) count = 1;
  } else if (pending_ - count > max_lag_) {
    count = pending_ - max_lag_;
  }
  return Emit(path, count, decided);
}

int PitchTracker::Finish(Pitch* decided) {
  signed char path[kMostDecided + 1];
  Agreed(started_ ? BestState() : 0, path);
  return Emit(path, pending_, decided);
}

}  // namespace edgeaff::lld
