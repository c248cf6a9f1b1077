// From chunks of audio to one normalized vector per tick. Twins: AudioFront and AudioSteps in edgeaff/reference/audio.py.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/audio_clock.h"
#include "core/input_counts.h"
#include "core/lld_normalizer.h"
#include "core/parts.h"
#include "core/row_timeline.h"
#include "lld/lld_stream.h"
#include "lld/resample.h"

namespace edgeaff {

// The end of the last sample that a tick's rows need, relative to the tick (negative: before it).
int64_t AudioNeedNs(const PreprocessRules& rules);

// One chunk, or final LLD rows: one of the pointers is set.
struct AudioData {
  const int16_t* whole = nullptr;
  const float* real = nullptr;  // samples in [-1, 1]
  const float* rows = nullptr;  // (count, 65), 10 ms apart
  size_t count = 0;
};

// Cleaning, clock, resampler, LLD stream; rows that touch a hole are masked.
class AudioFront {
 public:
  // tap: stays the caller's; may be null.
  AudioFront(const PreprocessRules& rules, InputTap* tap, InputCounts* counts);

  bool has_any() const { return clock_.rate_hz() > 0 || rows_end_ns_.has_value(); }
  int64_t EndPtsNs() const { return rows_end_ns_.value_or(clock_.EndPtsNs()); }

  // Takes one chunk. Gives the time of the first sample that is not known yet, empty without one.
  std::optional<int64_t> Push(int64_t pts_ns, const AudioData& samples, int rate_hz);

  // Takes final rows; those that are not newer than the last one are left out and counted.
  std::optional<int64_t> PushRows(int64_t pts_ns, const AudioData& rows);

  // Flushes the rows that the end of the audio makes final.
  void Finish();

  // The time of the newest real sample before an instant.
  std::optional<int64_t> NewestBefore(int64_t instant_ns) const;

  RowTimeline& rows() { return rows_; }

 private:
  struct Span {
    int64_t start_ns, end_ns;
  };
  static constexpr int kMostSpans = 64;

  void Restart(int rate_hz);
  template <typename Sample>
  void Feed(const Sample* samples, size_t count);
  template <typename Sample>
  void FeedZeros(int64_t count);
  void FeedReal(const float* samples, size_t count);
  void Collect();
  void PushFinalRow(const float* lld);
  void NoteSpan(int64_t start_ns, int64_t end_ns);

  InputTap* tap_;
  InputCounts* counts_;
  AudioClock clock_;
  LldStream stream_;
  bool streaming_ = false;
  int resampler_rate_hz_ = 0;
  std::unique_ptr<Resampler> resampler_;  // null at the rate of the LLDs
  int64_t row_ = 0, row_latency_ns_;
  std::optional<int64_t> last_row_ns_, rows_end_ns_;
  RowTimeline rows_;
  Span spans_[kMostSpans];
  int64_t span_count_ = 0;  // the newest is (span_count_ - 1) % kMostSpans
  std::vector<float> resampled_, popped_;
};

// From the step of a tick to the model's audio vector: normalized once per new row, stacked oldest first, zero-padded.
class AudioSteps {
 public:
  // Parts: a normalizer and a gate in place of those of the rules.
  AudioSteps(const PreprocessRules& rules, const PreprocessParts& parts);
  AudioSteps(const AudioSteps&) = delete;
  AudioSteps& operator=(const AudioSteps&) = delete;

  // Gives the vector of a tick, valid until the next call; null when its own step is missing or nobody speaks. lld: (65), row: its
  // number.
  const float* Push(const RowStep* step, const float* lld);

 private:
  LldNormalizer own_normalizer_;
  SpeechGate own_speech_;
  Normalizer* normalizer_;
  VoiceGate* speech_;
  bool speaks_ = true;
  size_t stacked_;             // context steps * 65
  std::vector<float> vector_;  // the stack, then zeros
  float last_[kLldSize] = {};
  int64_t row_ = -1;
};

}  // namespace edgeaff
