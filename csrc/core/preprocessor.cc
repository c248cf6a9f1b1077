#include "core/preprocessor.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace edgeaff {
namespace {

void Note(InputCounts* counts, const Input& input, bool used) {
  if (input.kind == InputKind::kClock) return;
  const bool is_frame = input.kind == InputKind::kImage || input.kind == InputKind::kFaces;
  int64_t& count = is_frame ? (used ? counts->frames_used : counts->frames_unused)
                            : (used ? counts->chunks_used : counts->chunks_unused);
  ++count;
}

}  // namespace

void InputData::Keep() {
  if (is_frame) {
    frame.Keep();
    return;
  }
  const auto copy = [&](const void* from, size_t bytes) {
    owned.resize(bytes);
    std::memcpy(owned.data(), from, bytes);
    return static_cast<const void*>(owned.data());
  };
  if (audio.whole != nullptr)
    audio.whole = static_cast<const int16_t*>(copy(audio.whole, audio.count * sizeof(int16_t)));
  if (audio.real != nullptr) audio.real = static_cast<const float*>(copy(audio.real, audio.count * sizeof(float)));
  if (audio.rows != nullptr)
    audio.rows = static_cast<const float*>(copy(audio.rows, audio.count * kLldSize * sizeof(float)));
}

Segment::Segment(const PreprocessRules& rules, const PreprocessOptions& options, const PreprocessParts& parts,
                 InputCounts* counts, const TickSink& sink, std::optional<int64_t> earliest_tick)
    : rules_(rules),
      options_(options),
      counts_(counts),
      sink_(sink),
      earliest_tick_(earliest_tick),
      scheduler_(TickClock{rules.model_rate_hz}, options.skew_ns, options.video, options.audio, AudioNeedNs(rules)),
      frames_(TickClock{rules.model_rate_hz}, [this](int64_t pts_ns, FrameData* frame, FaceInputs* result) {
        faces_->Process(pts_ns, frame, result);
      }) {
  if (options.video) {
    const FaceFront::Options faces{options.max_faces, options.detector_stride, options.keep_crops};
    faces_.emplace(rules, parts, faces, counts);
  }
  if (options.audio) {
    audio_.emplace(rules, parts.tap, counts);
    steps_.emplace(rules, parts);
  }
}

void Segment::Degrade(int step) {
  if (faces_) faces_->Degrade(step);
}

void Segment::Deliver(Input* input) {
  if (input->kind == InputKind::kClock) {
    scheduler_.Delivered(Modality::kClock, input->start_ns);
  } else if (earliest_tick_ && scheduler_.clock().FrameTick(input->start_ns) < *earliest_tick_) {
    ++counts_->inputs_before_jump;
    Note(counts_, *input, false);
  } else {
    const bool used = input->payload.is_frame ? TakeFrame(input) : TakeAudio(*input);
    Note(counts_, *input, used);
  }
  auto tick = scheduler_.CurrentTick();
  for (; tick && scheduler_.MayGo(*tick, frames_.Ready(*tick)); ++*tick) Make(*tick);
}

void Segment::Finish() {
  if (audio_) audio_->Finish();
  const auto tick = scheduler_.CurrentTick(), last = scheduler_.LastTick();
  if (!tick || !last) return;
  for (int64_t number = *tick; number <= *last; ++number) Make(number);
}

// Whether a tick can use the frame.
bool Segment::TakeFrame(Input* input) {
  const auto newest = frames_.newest_pts_ns();
  const int64_t pts_ns = input->start_ns;
  if (newest) {
    NoteStep(&video_behind_, *newest - pts_ns);
    if (pts_ns <= *newest) {
      ++counts_->frames_not_newer;
      return false;
    }
  }
  counts_->frames_late += frames_.Push(pts_ns, std::move(input->payload.frame));
  scheduler_.Delivered(Modality::kVideo, pts_ns);
  return IsInTime(pts_ns);
}

// Whether a tick can use the audio.
bool Segment::TakeAudio(const Input& input) {
  const AudioData& data = input.payload.audio;
  if (audio_->has_any()) NoteStep(&audio_behind_, audio_->EndPtsNs() - input.start_ns);
  std::optional<int64_t> new_ns;
  if (input.kind == InputKind::kSamples) {
    const int64_t late = Scale(scheduler_.LateNs(input.start_ns), input.payload.rate_hz, kNanoseconds);
    counts_->samples_late += std::min(late, static_cast<int64_t>(data.count));
    new_ns = audio_->Push(input.start_ns, data, input.payload.rate_hz);
  } else {
    new_ns = audio_->PushRows(input.start_ns, data);
  }
  if (!new_ns) return false;
  scheduler_.Delivered(Modality::kAudio, audio_->EndPtsNs(), new_ns);
  return IsInTime(audio_->EndPtsNs() - scheduler_.audio_need_ns());
}

// Counts a step back of 0.5 s or more once; what comes until the clock has caught up belongs to it.
void Segment::NoteStep(bool* behind, int64_t back_ns) {
  if (back_ns <= 0) {
    *behind = false;
  } else if (back_ns >= kStepBackNs && !*behind) {
    *behind = true;
    ++counts_->steps_back;
  }
}

// Whether what was true at an instant can stand in for a tick that has not gone.
bool Segment::IsInTime(int64_t instant_ns) const {
  const auto tick = scheduler_.next_tick();
  return !tick || SaturatingSubtract(scheduler_.clock().TickPtsNs(*tick), instant_ns) <= kHoldNs;
}

void Segment::Make(int64_t tick) {
  const int64_t pts_ns = scheduler_.clock().TickPtsNs(tick);
  TickInput input{};
  input.tick = tick, input.pts_ns = pts_ns;
  usable_.clear();
  if (const auto taken = frames_.Take(tick)) {
    input.frame_pts_ns = taken->pts_ns;
    for (const FaceInput& face : taken->result->faces) {
      if (face.face.detected_pts_ns >= SaturatingSubtract(pts_ns, rules_.face_staleness_ns)) usable_.push_back(&face);
    }
  }
  input.faces = usable_.data(), input.face_count = usable_.size();
  float lld[kLldSize];
  if (audio_) {
    const int64_t instant = SaturatingSubtract(pts_ns, rules_.audio_lag_ns);
    const auto step = audio_->rows().Select(instant, lld);
    input.audio = steps_->Push(step ? &*step : nullptr, lld);
    if (step) {
      input.lld = lld;
      input.audio_center_ns = step->center_ns;
    }
    audio_->rows().ForgetBefore(instant);
  }
  input.restart = !started_;
  started_ = true;
  scheduler_.Went(tick);
  input.stale = IsStale(pts_ns);
  sink_(input);
}

bool Segment::IsStale(int64_t pts_ns) const {
  auto newest = frames_.NewestBefore();
  if (audio_) {
    const auto audio = audio_->NewestBefore(SaturatingAdd(pts_ns, scheduler_.audio_need_ns()));
    if (audio && (!newest || *audio > *newest)) newest = audio;
  }
  if (!newest) newest = scheduler_.first_pts_ns();
  return newest && SaturatingSubtract(pts_ns, *newest) > options_.staleness_ns;
}

Preprocessor::Preprocessor(const PreprocessRules& rules, const PreprocessOptions& options, const PreprocessParts& parts,
                           TickSink sink)
    : rules_(rules), options_(options), parts_(parts), sink_(std::move(sink)), gate_(options.live) {
  Reset();
}

void Preprocessor::Reset() {
  Drop(gate_.DropHeld());
  gate_ = ClockGate<InputData>(options_.live);
  degraded_ = 0;
  finished_ = false;
  segment_ = std::make_unique<Segment>(rules_, options_, parts_, &counts_, sink_, std::nullopt);
}

void Preprocessor::Degrade(int step) {
  degraded_ = step;
  segment_->Degrade(step);
}

void Preprocessor::Finish() {
  finished_ = true;
  Drop(gate_.DropHeld());
  segment_->Finish();
}

void Preprocessor::Offer(Input input) {
  auto verdict = gate_.Offer(std::move(input));
  Drop(verdict.dropped);
  if (verdict.restart) {
    segment_->Finish();
    Restart(verdict);
  }
  for (auto& one : verdict.deliver) {
    if (one) segment_->Deliver(&*one);
  }
}

// Begins a new segment; after a jump forward its ticks stay above those that have gone.
void Preprocessor::Restart(const Verdict<InputData>& verdict) {
  ++counts_.jumps;
  auto earliest = segment_->CurrentTick();
  const TickClock clock{rules_.model_rate_hz};
  for (const auto& one : verdict.deliver) {
    if (earliest && one && clock.FrameTick(one->start_ns) < *earliest) earliest.reset();  // a jump back
  }
  segment_ = std::make_unique<Segment>(rules_, options_, parts_, &counts_, sink_, earliest);
  segment_->Degrade(degraded_);
}

void Preprocessor::Drop(const std::optional<Input>& dropped) {
  if (!dropped) return;
  ++counts_.inputs_unconfirmed;
  Note(&counts_, *dropped, false);
}

}  // namespace edgeaff
