#include "core/session.h"

#include <algorithm>
#include <utility>

#include "core/tick_clock.h"

namespace edgeaff {
namespace {

constexpr int64_t kWarmupNs = kNanoseconds / 2, kForgetTrackNs = kNanoseconds / 2;

Input AudioInput(InputKind kind, const AudioData& data, int64_t pts_ns, int64_t duration_ns) {
  Input input{kind, pts_ns, SaturatingAdd(pts_ns, duration_ns), {}};
  input.payload.audio = data;
  return input;
}

}  // namespace

Session::Subject::Subject(int64_t floats, const SessionRules& rules)
    : state(static_cast<size_t>(floats)), valence(rules.valence_seconds), arousal(rules.arousal_seconds) {}

Session::Session(const SessionRules& rules, const PreprocessOptions& options, const PreprocessParts& parts,
                 AffectPredictor* predictor, Sink sink)
    : rules_(rules),
      predictor_(predictor),
      sink_(std::move(sink)),
      nobody_(predictor->state_floats(), rules_),
      preprocessor_(rules.preprocess, options, parts, [this](const TickInput& tick) { Tick(tick); }) {}

void Session::PushFrame(const ImageView& image, int64_t pts_ns) {
  Input input{InputKind::kImage, pts_ns, pts_ns, {}};
  input.payload.is_frame = true;
  input.payload.frame.image = image;
  preprocessor_.Offer(std::move(input));
}

void Session::PushFaces(const KnownFace* faces, size_t count, int64_t pts_ns) {
  Input input{InputKind::kFaces, pts_ns, pts_ns, {}};
  input.payload.is_frame = true;
  FrameData& frame = input.payload.frame;
  frame.has_faces = true;
  frame.crop_bytes = rules_.preprocess.crop_size_px * rules_.preprocess.crop_size_px * 3;
  frame.faces.assign(faces, faces + std::min(count, static_cast<size_t>(options().max_faces)));
  preprocessor_.Offer(std::move(input));
}

void Session::PushSamples(const AudioData& samples, int rate_hz, int64_t pts_ns) {
  if (samples.count == 0) return;
  const int64_t duration = Scale(static_cast<int64_t>(samples.count), kNanoseconds, rate_hz);
  Input input = AudioInput(InputKind::kSamples, samples, pts_ns, duration);
  input.payload.rate_hz = rate_hz;
  preprocessor_.Offer(std::move(input));
}

void Session::PushRows(const AudioData& rows, int64_t pts_ns) {
  if (rows.count == 0) return;
  preprocessor_.Offer(AudioInput(InputKind::kRows, rows, pts_ns, static_cast<int64_t>(rows.count) * kHopNs));
}

void Session::Advance(int64_t pts_ns) { preprocessor_.Offer({InputKind::kClock, pts_ns, pts_ns, {}}); }

void Session::Reset() {
  preprocessor_.Reset();
  seq_ = 0;
  Restart();
}

void Session::Restart() {
  subjects_.clear();
  nobody_ = Subject(predictor_->state_floats(), rules_);
}

void Session::Tick(const TickInput& tick) {
  if (tick.restart) Restart();
  if (options().max_faces != 1) {
    Several(tick);
    return;
  }
  const FaceInput* const face = tick.face_count > 0 ? tick.faces[0] : nullptr;
  Emit(tick, face, Step(&nobody_, tick, face), &nobody_);
}

// One event per face; a new face starts from the state that has heard everything and seen nobody.
void Session::Several(const TickInput& tick) {
  subjects_.erase(std::remove_if(subjects_.begin(), subjects_.end(),
                                 [&](const Subject& one) { return tick.pts_ns - one.last_seen_ns > kForgetTrackNs; }),
                  subjects_.end());
  const auto subject_of = [&](int64_t id) {
    return std::find_if(subjects_.begin(), subjects_.end(), [&](const Subject& one) { return one.track_id == id; });
  };
  for (size_t i = 0; i < tick.face_count; ++i) {
    const int64_t id = tick.faces[i]->face.track_id;
    if (subject_of(id) != subjects_.end()) continue;
    subjects_.push_back(nobody_);
    subjects_.back().track_id = id;
  }
  const Estimate without_face = Step(&nobody_, tick, nullptr);
  seen_.clear();
  for (Subject& subject : subjects_) {
    size_t order = tick.face_count;
    const FaceInput* face = nullptr;  // of two with one identity the last one, in the place of the first
    for (size_t i = 0; i < tick.face_count; ++i) {
      if (tick.faces[i]->face.track_id != subject.track_id) continue;
      order = std::min(order, i);
      face = tick.faces[i];
    }
    const Estimate estimate = Step(&subject, tick, face);
    if (face == nullptr) continue;
    subject.last_seen_ns = tick.pts_ns;
    seen_.push_back({order, face, estimate, &subject});
  }
  if (seen_.empty()) Emit(tick, nullptr, without_face, &nobody_);
  std::sort(seen_.begin(), seen_.end(), [](const Seen& a, const Seen& b) { return a.order < b.order; });
  for (const Seen& one : seen_) Emit(tick, one.face, one.estimate, one.subject);
}

Session::Estimate Session::Step(Subject* subject, const TickInput& tick, const FaceInput* face) {
  float values[4];
  predictor_->Step(subject->state.data(), face == nullptr ? nullptr : face->descriptor.data(), tick.audio, values);
  if (!subject->first_evidence_ns && (face != nullptr || tick.audio != nullptr))
    subject->first_evidence_ns = tick.pts_ns;
  Estimate estimate;
  estimate.video_coverage = subject->video_coverage.Push(face != nullptr);
  estimate.audio_coverage = subject->audio_coverage.Push(tick.audio != nullptr);
  const auto valence = ValueInRange(static_cast<double>(values[0])),
             arousal = ValueInRange(static_cast<double>(values[1]));
  const bool stated = face != nullptr && rules_.states_std;
  const double video_share = estimate.video_coverage, audio_share = estimate.audio_coverage;
  const auto valence_std =
      StdInRange(stated ? static_cast<double>(values[2]) : rules_.uncertainty.ValenceStd(video_share, audio_share));
  const auto arousal_std =
      StdInRange(stated ? static_cast<double>(values[3]) : rules_.uncertainty.ArousalStd(video_share, audio_share));
  if (!valence || !arousal || !valence_std || !arousal_std) {
    // The subject begins without a past: NaN may be in its state.
    ++preprocessor_.counts().values_rejected;
    std::fill(subject->state.begin(), subject->state.end(), 0.0f);
    return estimate;
  }
  estimate.valence = *valence, estimate.arousal = *arousal;
  estimate.valence_std = *valence_std, estimate.arousal_std = *arousal_std;
  estimate.valid = true;
  return estimate;
}

Status Session::StatusOf(const TickInput& tick, const FaceInput* face, const Estimate& estimate,
                         const Subject& subject) const {
  if (tick.stale) return Status::kStale;
  if (!estimate.valid && (face != nullptr || tick.audio != nullptr)) return Status::kAbstain;
  if (options().video && face == nullptr) return Status::kNoFace;
  if (options().audio && !tick.audio_center_ns) return Status::kNoAudio;
  if (face == nullptr && tick.audio == nullptr) return Status::kNoSpeech;
  if (!subject.first_evidence_ns || tick.pts_ns - *subject.first_evidence_ns < kWarmupNs) return Status::kWarmup;
  if (std::min(estimate.valence_std, estimate.arousal_std) > rules_.uncertainty.abstain_above_std)
    return Status::kAbstain;
  return Status::kOk;
}

void Session::Emit(const TickInput& tick, const FaceInput* face, const Estimate& estimate, Subject* subject) {
  AffectEvent event;
  event.seq = seq_++;
  event.pts_ns = tick.pts_ns;
  event.status = StatusOf(tick, face, estimate, *subject);
  const bool has_values =
      event.status != Status::kStale && event.status != Status::kAbstain && (face != nullptr || tick.audio != nullptr);
  if (has_values && (face != nullptr || estimate.valence_std <= rules_.uncertainty.audio_only_valence_max_std)) {
    event.valence_raw = estimate.valence;
    event.valence_std = estimate.valence_std;
  }
  if (has_values) {
    event.arousal_raw = estimate.arousal;
    event.arousal_std = estimate.arousal_std;
  }
  event.valence = subject->valence.Push(tick.pts_ns, event.valence_raw);
  event.arousal = subject->arousal.Push(tick.pts_ns, event.arousal_raw);
  const auto video_pts = face != nullptr ? std::optional<int64_t>(face->encoded_pts_ns) : tick.frame_pts_ns;
  if (video_pts) event.video_age_ms = AgeMs(tick.pts_ns, *video_pts);
  if (tick.audio_center_ns) event.audio_age_ms = AgeMs(tick.pts_ns, *tick.audio_center_ns);
  if (options().video) event.video_coverage = estimate.video_coverage;
  if (options().audio) event.audio_coverage = estimate.audio_coverage;
  if (face != nullptr) event.face = face->face;
  sink_(event);
}

}  // namespace edgeaff
