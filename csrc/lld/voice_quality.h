// Jitter, shimmer and harmonics-to-noise ratio: a walk along the waveform from period to period, led by the pitch.
#pragma once
#include "lld/constants.h"
#include "lld/history.h"
#include "lld/vector_ops.h"

namespace edgeaff::lld {

struct Quality {
  float jitter_local, jitter_ddp, shimmer_local;  // 0..1
  float log_hnr;                                  // dB, >= -100; -100 in unvoiced frames
};

// The walk of a frame goes on where that of the frame before ended, `carry` samples before the frame's own start.
class VoiceQuality {
 public:
  // Carry is at most two of the longest lags (1.25 periods of 52 Hz) and 2; a frame then looks at one hop more.
  static constexpr int kMostCarry = 2 * 385 + 2;
  static constexpr int kMostSamples = kHop + kMostCarry;

  VoiceQuality() { Reset(); }
  void Reset();

  // Frames in order, from 0. f0_hz: 0 or 52..620, after the energy gate. history: holds samples
  // 160 frame - kMostCarry .. 160 frame + 959.
  Quality Step(const VectorOps& ops, int64_t frame, float f0_hz, const SampleHistory& history);

 private:
  struct Walk;  // one frame's samples and sums
  void Search(const VectorOps& ops, Walk& walk, int base);
  void Count(const VectorOps& ops, Walk& walk, int start, int lag, float length);
  Quality Summarize(const Walk& walk);

  int64_t next_;  // sample where the walk goes on
  int carry_;
  float last_length_, last_change_;              // seconds; 0: none yet
  float held_jitter_, held_ddp_, held_shimmer_;  // for voiced frames that count no period
};

}  // namespace edgeaff::lld
