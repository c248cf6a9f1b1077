// Time of every sample of one audio stream: the first chunk's pts plus samples counted, slewed slowly towards later pts.
// Twin: AudioClock in edgeaff/reference/sync.py.
#pragma once
#include <cstdint>
#include <vector>

namespace edgeaff {

// The action for one chunk: start a new stream or not, samples to skip at its head, zeros to put before it.
struct Placement {
  bool restart = false;
  int64_t skip = 0, fill = 0;
};

// `nominal` time is nanoseconds since the first sample by count alone; PtsNs(nominal) adds start and correction. The correction
// is piecewise linear in nominal time, so it does not depend on how the audio was cut into chunks. Memory grows with the chunks
// of the last four seconds that slewed the clock, and with the holes in them.
class AudioClock {
 public:
  AudioClock();

  int rate_hz() const { return rate_hz_; }  // 0 before the first chunk
  int64_t NominalEndNs() const;             // after the last sample
  int64_t EndPtsNs() const { return PtsNs(NominalEndNs()); }
  int64_t PtsNs(int64_t nominal_ns) const { return start_ns_ + nominal_ns + Correction(nominal_ns); }

  // Whether [start, end) in nominal time overlaps zeros that were filled in.
  bool TouchesHole(int64_t start_ns, int64_t end_ns) const;

  // Advances the clock over a chunk of `count` samples whose first one is at pts_ns.
  Placement Place(int64_t pts_ns, int64_t count, int rate_hz);

 private:
  struct Knot {
    int64_t nominal, correction;
  };
  struct Hole {
    int64_t start, end;  // nominal, half-open
  };

  Placement Restart(int64_t pts_ns, int64_t count, int rate_hz);
  void Slew(int64_t difference, int64_t count);
  int64_t Correction(int64_t nominal_ns) const;
  void Prune();

  int rate_hz_ = 0;
  int64_t start_ns_ = 0, count_ = 0;
  std::vector<Knot> knots_;
  std::vector<Hole> holes_;
};

}  // namespace edgeaff
