// The session: frames and samples in, events out; no thread, no clock, no I/O, the same data give the same events.
// Twin: edgeaff/session.py.
//
//   frame -> face -> descriptor -+
//                                +-> tick -> predictor -> event
//   samples -> LLD --------------+
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "core/estimate.h"
#include "core/parts.h"
#include "core/preprocessor.h"

namespace edgeaff {

enum class Status : int { kOk = 0, kWarmup, kNoFace, kNoAudio, kStale, kAbstain, kNoSpeech };

// One tick of the model clock. Values that must not be stated are empty.
struct AffectEvent {
  int64_t seq = 0, pts_ns = 0;
  Status status = Status::kOk;
  std::optional<double> valence, arousal, valence_raw, arousal_raw, valence_std, arousal_std;
  std::optional<double> video_age_ms, audio_age_ms, video_coverage, audio_coverage;
  std::optional<TrackedFace> face;
  std::optional<double> speaking, valence_relative, arousal_relative;
};

struct SessionRules {
  PreprocessRules preprocess;
  UncertaintyTable uncertainty;
  bool states_std = false;                          // the predictor states standard deviations of a face's values
  double valence_seconds = 0, arousal_seconds = 0;  // time constants of the smoothing
};

class Session {
 public:
  using Sink = std::function<void(const AffectEvent&)>;

  // parts, predictor: stay the caller's. sink: called for every event, in order.
  Session(const SessionRules& rules, const PreprocessOptions& options, const PreprocessParts& parts,
          AffectPredictor* predictor, Sink sink);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void PushFrame(const ImageView& image, int64_t pts_ns);
  void PushFaces(const KnownFace* faces, size_t count, int64_t pts_ns);  // the first max_faces of them
  void PushSamples(const AudioData& samples, int rate_hz, int64_t pts_ns);
  void PushRows(const AudioData& rows, int64_t pts_ns);
  void Advance(int64_t pts_ns);
  void Finish() { preprocessor_.Finish(); }
  void Reset();
  void Degrade(int step) { preprocessor_.Degrade(step); }

  bool finished() const { return preprocessor_.finished(); }
  const PreprocessOptions& options() const { return preprocessor_.options(); }
  InputCounts& counts() { return preprocessor_.counts(); }

 private:
  // The state that belongs to one face.
  struct Subject {
    Subject(int64_t floats, const SessionRules& rules);
    int64_t track_id = 0, last_seen_ns = 0;
    std::vector<float> state;
    Smoother valence, arousal;
    Coverage video_coverage, audio_coverage;
    std::optional<int64_t> first_evidence_ns;
  };
  // The result of one subject's tick, before the status decides what is given out. valid: every number is in its range.
  struct Estimate {
    double valence = 0, arousal = 0, valence_std = 0, arousal_std = 0, video_coverage = 0, audio_coverage = 0;
    bool valid = false;
  };
  struct Seen {
    size_t order;
    const FaceInput* face;
    Estimate estimate;
    Subject* subject;
  };

  void Restart();
  void Tick(const TickInput& tick);
  void Several(const TickInput& tick);
  Estimate Step(Subject* subject, const TickInput& tick, const FaceInput* face);
  Status StatusOf(const TickInput& tick, const FaceInput* face, const Estimate& estimate, const Subject& subject) const;
  void Emit(const TickInput& tick, const FaceInput* face, const Estimate& estimate, Subject* subject);

  SessionRules rules_;
  AffectPredictor* predictor_;
  Sink sink_;
  int64_t seq_ = 0;
  Subject nobody_;
  std::vector<Subject> subjects_;  // in the order in which they came
  std::vector<Seen> seen_;
  Preprocessor preprocessor_;
};

}  // namespace edgeaff
