// Frames and samples in, ticks out; sans-IO and deterministic. Twins: Preprocessor and Segment in edgeaff/preprocess.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/audio_front.h"
#include "core/clock_gate.h"
#include "core/face_front.h"
#include "core/frame_timeline.h"
#include "core/input_counts.h"
#include "core/parts.h"
#include "core/tick_scheduler.h"

namespace edgeaff {

// Options of a session, checked by the layer that takes them from outside.
struct PreprocessOptions {
  bool video = true, audio = true, live = true;
  bool keep_crops = false;  // ticks hold the crops of their faces
  int max_faces = 1, detector_stride = 1;
  int64_t staleness_ns = kNanoseconds / 2, skew_ns = kNanoseconds / 4;
};

// Everything the model gets at one tick; pointers are valid during the call that hands it over.
struct TickInput {
  int64_t tick, pts_ns;
  bool restart;                   // all state restarts with this tick
  const FaceInput* const* faces;  // usable ones, the primary one first
  size_t face_count;
  std::optional<int64_t> frame_pts_ns;
  const float* audio;  // (audio_vector_size), or null when audio is missing or nobody speaks
  const float* lld;    // (65) of this step before normalization, or null
  std::optional<int64_t> audio_center_ns;
  bool stale;
};

// One input: a frame, a chunk of samples or rows, or nothing but the time.
struct InputData {
  FrameData frame;
  AudioData audio;
  int rate_hz = 0;
  bool is_frame = false;

  // Makes it independent of the caller's memory.
  void Keep();

  std::vector<uint8_t> owned;  // copy of the audio
};

using Input = Delivery<InputData>;
using TickSink = std::function<void(const TickInput&)>;

// All state between two restarts of the timeline.
class Segment {
 public:
  Segment(const PreprocessRules& rules, const PreprocessOptions& options, const PreprocessParts& parts,
          InputCounts* counts, const TickSink& sink, std::optional<int64_t> earliest_tick);

  void Deliver(Input* input);
  void Finish();
  void Degrade(int step);
  std::optional<int64_t> CurrentTick() const { return scheduler_.CurrentTick(); }

 private:
  bool TakeFrame(Input* input);
  bool TakeAudio(const Input& input);
  void NoteStep(bool* behind, int64_t back_ns);
  bool IsInTime(int64_t instant_ns) const;
  void Make(int64_t tick);
  bool IsStale(int64_t pts_ns) const;

  const PreprocessRules& rules_;
  const PreprocessOptions& options_;
  InputCounts* counts_;
  const TickSink& sink_;
  std::optional<int64_t> earliest_tick_;
  TickScheduler scheduler_;
  std::optional<FaceFront> faces_;
  FrameTimeline<FrameData, FaceInputs> frames_;
  std::optional<AudioFront> audio_;
  std::optional<AudioSteps> steps_;
  bool video_behind_ = false, audio_behind_ = false, started_ = false;
  std::vector<const FaceInput*> usable_;
};

class Preprocessor {
 public:
  // parts: stay the caller's. sink: called for every tick, in order.
  Preprocessor(const PreprocessRules& rules, const PreprocessOptions& options, const PreprocessParts& parts,
               TickSink sink);
  Preprocessor(const Preprocessor&) = delete;
  Preprocessor& operator=(const Preprocessor&) = delete;

  void Offer(Input input);
  void Finish();  // afterwards only Reset is allowed
  void Reset();   // the counts go on
  void Degrade(int step);
  void ReplaceEncoder(FaceEncoder* encoder) { parts_.encoder = encoder; }  // between two calls

  bool finished() const { return finished_; }
  const PreprocessOptions& options() const { return options_; }
  InputCounts& counts() { return counts_; }

 private:
  void Restart(const Verdict<InputData>& verdict);
  void Drop(const std::optional<Input>& dropped);

  PreprocessRules rules_;
  PreprocessOptions options_;
  PreprocessParts parts_;
  TickSink sink_;
  InputCounts counts_;
  ClockGate<InputData> gate_;
  std::unique_ptr<Segment> segment_;
  int degraded_ = 0;
  bool finished_ = false;
};

}  // namespace edgeaff
