// Lasting changes of one value, found while it runs. Twin: edgeaff/people/changes.py, which explains the rule.
#pragma once
#include <cstdint>
#include <optional>

namespace edgeaff {

struct Change {
  int64_t began_ns = 0;
  double before = 0, after = 0, sureness = 0;
};

class ChangeDetector {
 public:
  // Takes the value of one tick, and gives the change that it completes.
  std::optional<Change> Push(int64_t pts_ns, double value);

  // The estimate of now for the spread of the means of 0.2 s about their level.
  double Noise() const { return noise_; }

 private:
  static constexpr int kBlockTicks = 6, kDelayBlocks = 10, kNewestBlocks = 3;
  struct Side {
    double evidence = 0;
    int blocks = 0;
    int64_t began_ns = 0;
  };

  void Forget();
  std::optional<Change> PushBlock(double mean);
  bool Grow(Side* side, double away) const;
  void Wait(double mean);
  void Absorb(double mean);
  double Newest(int count) const;

  double sum_ = 0;
  int ticks_ = 0;
  bool started_ = false;
  int64_t block_ns_ = 0, last_ns_ = 0;
  double waiting_[kDelayBlocks] = {};
  int waiting_count_ = 0;
  double level_ = 0, noise_ = 0.08;
  int level_blocks_ = 0, noise_blocks_ = 100;
  Side up_, down_;
};

}  // namespace edgeaff
