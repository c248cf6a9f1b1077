#include "core/change_detector.h"

#include <algorithm>
#include <cmath>

#include "core/tick_clock.h"

namespace edgeaff {
namespace {

constexpr int64_t kLongestGapNs = 2 * kNanoseconds;
constexpr double kBlockSeconds = 0.2;
constexpr int kFirstBlocks = 10, kMostLevelBlocks = 150, kMostNoiseBlocks = 600;
constexpr double kLeastSlack = 0.15, kSlackOfNoise = 2.2;
constexpr double kLeastThreshold = 0.10, kThresholdOfNoise = 1.6;
constexpr double kStdOfMeanDeviation = 1.2533141373155001, kMostDeviation = 3.0, kLeastNoise = 0.02;
constexpr double kLooks = 200.0;

}  // namespace

std::optional<Change> ChangeDetector::Push(int64_t pts_ns, double value) {
  const int64_t gap_ns = started_ ? SaturatingSubtract(pts_ns, last_ns_) : 0;
  if (gap_ns < 0 || gap_ns > kLongestGapNs) Forget();
  started_ = true, last_ns_ = pts_ns;
  if (ticks_ == 0) block_ns_ = pts_ns;
  sum_ += value;
  if (++ticks_ < kBlockTicks) return std::nullopt;
  const double mean = sum_ / kBlockTicks;
  sum_ = 0, ticks_ = 0;
  return PushBlock(mean);
}

void ChangeDetector::Forget() {
  sum_ = 0, ticks_ = 0, waiting_count_ = 0, level_ = 0, level_blocks_ = 0;
  up_ = down_ = Side();
}

std::optional<Change> ChangeDetector::PushBlock(double mean) {
  if (level_blocks_ < kFirstBlocks) {
    level_ += (mean - level_) / ++level_blocks_;
    return std::nullopt;
  }
  const bool rises = Grow(&up_, mean - level_), falls = Grow(&down_, level_ - mean);
  Wait(mean);
  if (!rises && !falls) return std::nullopt;
  Change change;
  const Side side = rises ? up_ : down_;
  const int count = std::min(side.blocks, kNewestBlocks);
  change.began_ns = side.began_ns;
  change.before = level_, change.after = Newest(count);
  const double size = (change.after - change.before) / noise_;
  change.sureness = 1.0 / (1.0 + kLooks * std::exp(-0.5 * size * size));
  Forget();
  level_ = change.after, level_blocks_ = count;
  return change;
}

bool ChangeDetector::Grow(Side* side, double away) const {
  const double slack = std::max(kLeastSlack, kSlackOfNoise * noise_);
  const double threshold = std::max(kLeastThreshold, kThresholdOfNoise * noise_);
  if (side->evidence == 0) side->began_ns = block_ns_, side->blocks = 0;
  ++side->blocks;
  side->evidence = std::max(0.0, side->evidence + (away - slack) * kBlockSeconds);
  return side->evidence > threshold && side->blocks >= kNewestBlocks && away > slack;
}

void ChangeDetector::Wait(double mean) {
  if (waiting_count_ == kDelayBlocks) {
    Absorb(waiting_[0]);
    std::copy(waiting_ + 1, waiting_ + kDelayBlocks, waiting_);
    --waiting_count_;
  }
  waiting_[waiting_count_++] = mean;
}

void ChangeDetector::Absorb(double mean) {
  const double away = std::min(std::fabs(mean - level_), kMostDeviation * noise_);
  noise_blocks_ = std::min(noise_blocks_ + 1, kMostNoiseBlocks);
  noise_ = std::max(kLeastNoise, noise_ + (kStdOfMeanDeviation * away - noise_) / noise_blocks_);
  level_blocks_ = std::min(level_blocks_ + 1, kMostLevelBlocks);
  level_ += (mean - level_) / level_blocks_;
}

double ChangeDetector::Newest(int count) const {
  double total = 0;
  for (int i = waiting_count_ - count; i < waiting_count_; ++i) total += waiting_[i];
  return total / count;
}

}  // namespace edgeaff
