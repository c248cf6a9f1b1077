// edgeaff.h on top of csrc/core: arguments are checked here, and nothing is thrown past it.
#include "edgeaff.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <vector>

#include "capi/arguments.h"
#include "capi/bundle.h"
#include "capi/memory.h"
#include "capi/refused.h"
#include "core/session.h"

using edgeaff::Bundle;
using edgeaff::Memory;

struct edgeaff_model {
  Memory* memory = nullptr;
  std::atomic<int> users{1};
  std::unique_ptr<Bundle> bundle;
};

namespace {

constexpr int kMostDescriptorRows = 1 << 20;
constexpr size_t kMostSamples = size_t{1} << 30;
constexpr size_t kSpareBytes = 512 << 10;  // of edgeaff_session_memory: faces, second looks, growth by a size class

// The predictor on packed weights, with its own scratch.
class StepPredictor : public edgeaff::AffectPredictor {
 public:
  explicit StepPredictor(const edgeaff::StepModel& model)
      : model_(model), scratch_(static_cast<size_t>(model.scratch_floats())) {}
  int64_t state_floats() const override { return model_.state_floats(); }
  void Step(float* state, const float* video, const float* audio, float* values) override {
    model_.Step(state, video, audio, values, scratch_.data());
  }

 private:
  const edgeaff::StepModel& model_;
  std::vector<float> scratch_;
};

int32_t Fail(edgeaff_error* error, int32_t code, const char* message) {
  if (error == nullptr || error->size <= offsetof(edgeaff_error, message)) return code;
  error->code = code;
  std::snprintf(error->message, std::min(sizeof(error->message), error->size - offsetof(edgeaff_error, message)), "%s",
                message);
  return code;
}

int PrecisionBits(const edgeaff::StepModel& step) {
  switch (step.video.input.type) {
    case edgeaff::WeightType::kFloat32: return 32;
    case edgeaff::WeightType::kBfloat16: return 16;
    default: return 8;
  }
}

}  // namespace

struct edgeaff_session {
  edgeaff_session(edgeaff_model* of, const edgeaff_options& chosen, const edgeaff::PreprocessOptions& preprocess,
                  const edgeaff::SessionRules& rules)
      : model(of),
        options(chosen),
        detector(*of->bundle->detector, of->bundle->detector_rules),
        encoder(*of->bundle->encoder, of->bundle->rules.preprocess.crop_size_px),
        predictor(*of->bundle->step),
        ring(static_cast<size_t>(chosen.event_room)),
        core(rules, preprocess, {&detector, &encoder}, &predictor,
             [this](const edgeaff::AffectEvent& event) { Take(event); }) {}

  void Take(const edgeaff::AffectEvent& event);
  int32_t Fail(int32_t code, const char* text) {
    std::snprintf(message, sizeof(message), "%s", text);
    return code;
  }
  void Log(int32_t level, const char* text) const {
    if (options.log != nullptr) options.log(options.log_user, level, text);
  }

  Memory* memory = nullptr;
  edgeaff_model* model;
  edgeaff_options options;
  edgeaff::SsdDetector detector;
  edgeaff::NetEncoder encoder;
  StepPredictor predictor;
  std::vector<edgeaff_event> ring;
  size_t first = 0, waiting = 0;
  uint64_t lost = 0;
  int64_t rejected = 0;
  char message[248] = "";
  edgeaff::Session core;
};

void edgeaff_session::Take(const edgeaff::AffectEvent& event) {
  const auto number = [](const std::optional<double>& value) {
    return value.value_or(std::numeric_limits<double>::quiet_NaN());
  };
  edgeaff_event out{};
  out.size = sizeof(out);
  out.status = static_cast<int32_t>(event.status);
  out.has_face = event.face.has_value();
  out.precision_bits = PrecisionBits(*model->bundle->step);
  out.seq = static_cast<uint64_t>(event.seq);
  out.pts_ns = event.pts_ns;
  out.valence = number(event.valence), out.arousal = number(event.arousal);
  out.valence_raw = number(event.valence_raw), out.arousal_raw = number(event.arousal_raw);
  out.valence_std = number(event.valence_std), out.arousal_std = number(event.arousal_std);
  out.video_age_ms = number(event.video_age_ms), out.audio_age_ms = number(event.audio_age_ms);
  out.video_coverage = number(event.video_coverage), out.audio_coverage = number(event.audio_coverage);
  out.speaking = number(event.speaking);
  out.valence_relative = number(event.valence_relative), out.arousal_relative = number(event.arousal_relative);
  out.track_id = -1;
  out.score = std::numeric_limits<double>::quiet_NaN();
  std::fill_n(out.box, 4, out.score);
  if (event.face) {
    const edgeaff::TrackedFace& face = *event.face;
    out.track_id = face.track_id, out.score = face.score;
    out.box[0] = face.box.x0, out.box[1] = face.box.y0, out.box[2] = face.box.x1, out.box[3] = face.box.y1;
  }
  if (waiting == ring.size()) {
    first = (first + 1) % ring.size();
    --waiting;
    if (lost++ == 0)
      Log(EDGEAFF_LOG_WARNING, "An event was dropped: more than event_room of them wait. Poll after every push.");
  }
  ring[(first + waiting++) % ring.size()] = out;
}

namespace {

// Runs a call of a session that may throw.
template <typename Call>
int32_t Guard(edgeaff_session* session, Call call) {
  const Memory::Scope scope(session->memory);
  try {
    call();
  } catch (const std::bad_alloc&) {
    return session->Fail(EDGEAFF_E_MEMORY, "The allocator returned NULL; give the session more memory.");
  } catch (const std::exception& error) { return session->Fail(EDGEAFF_E_INTERNAL, error.what()); } catch (...) {
    return session->Fail(EDGEAFF_E_INTERNAL, "An unknown exception was caught.");
  }
  const int64_t rejected = session->core.counts().values_rejected;
  if (rejected > 0 && session->rejected == 0)
    session->Log(EDGEAFF_LOG_WARNING, "The model gave a number out of range; such events abstain.");
  session->rejected = rejected;
  return static_cast<int32_t>(session->waiting);
}

int32_t CheckOpen(edgeaff_session* session, bool declared, const char* what) {
  if (session->core.finished())
    return session->Fail(EDGEAFF_E_STATE, "After edgeaff_finish only edgeaff_reset and edgeaff_poll are allowed.");
  return declared ? EDGEAFF_OK : session->Fail(EDGEAFF_E_ARGUMENT, what);
}

int32_t PushSamples(edgeaff_session* session, edgeaff::AudioData data, const void* samples, int32_t rate_hz,
                    int64_t pts_ns) {
  if (const int32_t code =
          CheckOpen(session, session->options.audio != 0, "audio must be declared in edgeaff_options to push it."))
    return code;
  if (samples == nullptr && data.count > 0) return session->Fail(EDGEAFF_E_ARGUMENT, "samples must not be NULL.");
  if (data.count > kMostSamples)
    return session->Fail(EDGEAFF_E_ARGUMENT, "count must be at most 2^30; push smaller chunks.");
  if (rate_hz < edgeaff::kLowestRateHz || rate_hz > session->options.most_rate_hz) {
    return session->Fail(EDGEAFF_E_ARGUMENT, "rate_hz must be 8000 to most_rate_hz; raise that in edgeaff_options.");
  }
  return Guard(session, [&] { session->core.PushSamples(data, rate_hz, pts_ns); });
}

// Makes a session in its own memory and warms it up; throws.
edgeaff_session* Make(Memory* memory, edgeaff_model* model, const edgeaff_options& options) {
  const Memory::Scope scope(memory);
  edgeaff::PreprocessOptions preprocess;
  preprocess.video = options.video != 0, preprocess.audio = options.audio != 0, preprocess.live = options.live != 0;
  preprocess.max_faces = options.max_faces;
  preprocess.detector_stride = options.detector_stride > 0 ? options.detector_stride : model->bundle->detector_stride;
  preprocess.staleness_ns = edgeaff::RoundToNs(options.staleness_seconds),
  preprocess.skew_ns = edgeaff::RoundToNs(options.max_skew_seconds);
  edgeaff::SessionRules rules = model->bundle->rules;
  if (options.smoothing_valence_seconds >= 0) rules.valence_seconds = options.smoothing_valence_seconds;
  if (options.smoothing_arousal_seconds >= 0) rules.arousal_seconds = options.smoothing_arousal_seconds;
  auto session = std::make_unique<edgeaff_session>(model, options, preprocess, rules);
  session->memory = memory;
  return session.release();
}

// Runs ticks on black frames and silence of the largest sizes, so that memory is there before the first input.
void WarmUp(edgeaff_session* session) {
  const Memory::Scope scope(session->memory);
  constexpr int kTicks = 3;
  constexpr int64_t kTickNs = edgeaff::kNanoseconds / 30;
  const edgeaff_options& options = session->options;
  const std::vector<uint8_t> row(static_cast<size_t>(options.most_width) * 3);
  const std::vector<int16_t> silence(static_cast<size_t>(options.most_rate_hz) / 30);
  const edgeaff::ImageView black{row.data(), options.most_height,       options.most_width, 0, 3,
                                 1,          edgeaff::PixelFormat::kRgb};
  edgeaff::AudioData audio;
  audio.whole = silence.data(), audio.count = silence.size();
  for (int tick = 0; tick < kTicks; ++tick) {
    if (options.audio != 0) session->core.PushSamples(audio, options.most_rate_hz, tick * kTickNs);
    if (options.video != 0) session->core.PushFrame(black, tick * kTickNs);
  }
  session->core.Finish();
  session->core.Reset();
  session->core.counts() = {};
  session->first = session->waiting = 0;
  session->lost = 0;
}

// Opens a bundle from bytes that may go afterwards, as may `scratch`.
int32_t Open(edgeaff::Bytes bytes, const edgeaff_allocator* allocator, Memory* scratch, edgeaff_model** out,
             edgeaff_error* error) {
  *out = nullptr;
  Memory* const memory = Memory::Create(allocator);
  if (memory == nullptr) return Fail(error, EDGEAFF_E_MEMORY, "The allocator returned NULL.");
  int32_t code = EDGEAFF_OK;
  try {
    const Memory::Scope scope(memory);
    auto model = std::make_unique<edgeaff_model>();
    model->memory = memory;
    model->bundle = edgeaff::ReadBundle(bytes, scratch);
    *out = model.release();
  } catch (const std::bad_alloc&) {
    code = Fail(error, EDGEAFF_E_MEMORY, "The allocator returned NULL.");
  } catch (const edgeaff::Unsupported& reason) {
    code = Fail(error, EDGEAFF_E_UNSUPPORTED, reason.what());
  } catch (const std::exception& reason) { code = Fail(error, EDGEAFF_E_BUNDLE, reason.what()); } catch (...) {
    code = Fail(error, EDGEAFF_E_INTERNAL, "An unknown exception was caught.");
  }
  if (code != EDGEAFF_OK) memory->Destroy();
  return code;
}

// Reads a whole file into memory of the allocator.
int32_t ReadFile(const char* path, Memory* memory, edgeaff::Bytes* bytes, edgeaff_error* error) {
  std::FILE* const file = std::fopen(path, "rb");
  if (file == nullptr) return Fail(error, EDGEAFF_E_IO, std::strerror(errno));
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> closing(file, std::fclose);
  if (std::fseek(file, 0, SEEK_END) != 0) return Fail(error, EDGEAFF_E_IO, "The file cannot be read.");
  const long size = std::ftell(file);
  if (size < 0 || static_cast<unsigned long>(size) > edgeaff::kMostBundleBytes)
    return Fail(error, EDGEAFF_E_BUNDLE, "The file is too large for a bundle.");
  std::rewind(file);
  auto* const data = static_cast<uint8_t*>(memory->Allocate(static_cast<size_t>(size) + 1));
  if (std::fread(data, 1, static_cast<size_t>(size), file) != static_cast<size_t>(size))
    return Fail(error, EDGEAFF_E_IO, "The file cannot be read.");
  *bytes = {data, static_cast<size_t>(size)};
  return EDGEAFF_OK;
}

}  // namespace

extern "C" {

int32_t edgeaff_model_open(const char* path, const edgeaff_allocator* allocator, edgeaff_model** model,
                           edgeaff_error* error) {
  if (path == nullptr || model == nullptr) return Fail(error, EDGEAFF_E_ARGUMENT, "path and model must not be NULL.");
  *model = nullptr;
  if (const char* wrong = edgeaff::CheckAllocator(allocator)) return Fail(error, EDGEAFF_E_ARGUMENT, wrong);
  Memory* const memory = Memory::Create(allocator);  // of the file and of intermediate copies, for this call
  if (memory == nullptr) return Fail(error, EDGEAFF_E_MEMORY, "The allocator returned NULL.");
  int32_t code = EDGEAFF_OK;
  try {
    edgeaff::Bytes bytes;
    code = ReadFile(path, memory, &bytes, error);
    if (code == EDGEAFF_OK) code = Open(bytes, allocator, memory, model, error);
  } catch (const std::bad_alloc&) { code = Fail(error, EDGEAFF_E_MEMORY, "The allocator returned NULL."); }
  memory->Destroy();
  return code;
}

int32_t edgeaff_model_open_bytes(const void* bytes, size_t count, const edgeaff_allocator* allocator,
                                 edgeaff_model** model, edgeaff_error* error) {
  if (bytes == nullptr || model == nullptr) return Fail(error, EDGEAFF_E_ARGUMENT, "bytes and model must not be NULL.");
  if (const char* wrong = edgeaff::CheckAllocator(allocator)) return Fail(error, EDGEAFF_E_ARGUMENT, wrong);
  Memory* const scratch = Memory::Create(allocator);
  if (scratch == nullptr) return Fail(error, EDGEAFF_E_MEMORY, "The allocator returned NULL.");
  const int32_t code = Open({static_cast<const uint8_t*>(bytes), count}, allocator, scratch, model, error);
  scratch->Destroy();
  return code;
}

const char* edgeaff_model_manifest(const edgeaff_model* model, size_t* length) {
  if (length != nullptr) *length = model == nullptr ? 0 : model->bundle->manifest.size();
  return model == nullptr ? nullptr : model->bundle->manifest.c_str();
}

void edgeaff_model_retain(edgeaff_model* model) {
  if (model != nullptr) model->users.fetch_add(1, std::memory_order_relaxed);
}

void edgeaff_model_release(edgeaff_model* model) {
  if (model == nullptr || model->users.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  Memory* const memory = model->memory;
  delete model;
  memory->Destroy();
}

int32_t edgeaff_session_create(edgeaff_model* model, const edgeaff_options* options, edgeaff_session** session,
                               edgeaff_error* error) {
  if (model == nullptr || session == nullptr)
    return Fail(error, EDGEAFF_E_ARGUMENT, "model and session must not be NULL.");
  *session = nullptr;
  const edgeaff_options chosen = edgeaff::Complete(options);
  if (const char* wrong = edgeaff::CheckOptions(chosen)) return Fail(error, EDGEAFF_E_ARGUMENT, wrong);
  Memory* const memory = Memory::Create(&model->memory->allocator());
  if (memory == nullptr) return Fail(error, EDGEAFF_E_MEMORY, "The allocator returned NULL.");
  int32_t code = EDGEAFF_OK;
  edgeaff_session* made = nullptr;
  try {
    made = Make(memory, model, chosen);
    WarmUp(made);
  } catch (const std::bad_alloc&) {
    code = Fail(error, EDGEAFF_E_MEMORY, "The allocator returned NULL.");
  } catch (const std::exception& reason) { code = Fail(error, EDGEAFF_E_BUNDLE, reason.what()); } catch (...) {
    code = Fail(error, EDGEAFF_E_INTERNAL, "An unknown exception was caught.");
  }
  if (code != EDGEAFF_OK) {
    delete made;
    memory->Destroy();
    return code;
  }
  edgeaff_model_retain(model);
  *session = made;
  return EDGEAFF_OK;
}

int32_t edgeaff_session_memory(edgeaff_model* model, const edgeaff_options* options, size_t* bytes) {
  if (bytes == nullptr) return EDGEAFF_E_ARGUMENT;
  edgeaff_session* session = nullptr;
  const int32_t code = edgeaff_session_create(model, options, &session, nullptr);
  if (code != EDGEAFF_OK) return code;
  // Two frames may wait: the newest other one of a tick, and one that a jump of the clock holds.
  const size_t frame =
      static_cast<size_t>(session->options.most_width) * static_cast<size_t>(session->options.most_height) * 3;
  *bytes = session->memory->bytes() + (session->options.video != 0 ? 2 * frame * 5 / 4 : 0) + kSpareBytes;
  edgeaff_session_destroy(session);
  return EDGEAFF_OK;
}

void edgeaff_session_destroy(edgeaff_session* session) {
  if (session == nullptr) return;
  Memory* const memory = session->memory;
  edgeaff_model* const model = session->model;
  delete session;
  memory->Destroy();
  edgeaff_model_release(model);
}

int32_t edgeaff_push_frame(edgeaff_session* session, const edgeaff_image* image, int64_t pts_ns) {
  if (session == nullptr) return EDGEAFF_E_ARGUMENT;
  if (const int32_t code =
          CheckOpen(session, session->options.video != 0, "video must be declared in edgeaff_options to push it."))
    return code;
  if (image == nullptr) return session->Fail(EDGEAFF_E_ARGUMENT, "image must not be NULL.");
  edgeaff::ImageView view;
  if (const char* wrong = edgeaff::ViewOf(*image, session->options, &view))
    return session->Fail(EDGEAFF_E_ARGUMENT, wrong);
  return Guard(session, [&] { session->core.PushFrame(view, pts_ns); });
}

int32_t edgeaff_push_audio_i16(edgeaff_session* session, const int16_t* samples, size_t count, int32_t rate_hz,
                               int64_t pts_ns) {
  if (session == nullptr) return EDGEAFF_E_ARGUMENT;
  edgeaff::AudioData data;
  data.whole = samples, data.count = count;
  return PushSamples(session, data, samples, rate_hz, pts_ns);
}

int32_t edgeaff_push_audio_f32(edgeaff_session* session, const float* samples, size_t count, int32_t rate_hz,
                               int64_t pts_ns) {
  if (session == nullptr) return EDGEAFF_E_ARGUMENT;
  edgeaff::AudioData data;
  data.real = samples, data.count = count;
  return PushSamples(session, data, samples, rate_hz, pts_ns);
}

int32_t edgeaff_push_faces(edgeaff_session* session, const edgeaff_face* faces, int32_t count, int64_t pts_ns) {
  if (session == nullptr) return EDGEAFF_E_ARGUMENT;
  if (const int32_t code =
          CheckOpen(session, session->options.video != 0, "video must be declared in edgeaff_options to push it."))
    return code;
  if (count < 0 || count > edgeaff::kMostFaces || (faces == nullptr && count > 0))
    return session->Fail(EDGEAFF_E_ARGUMENT, "faces must hold 0 to 64 of them.");
  edgeaff::KnownFace known[edgeaff::kMostFaces];
  for (int32_t i = 0; i < count; ++i) {
    const edgeaff_face& face = faces[i];
    if (face.size != sizeof(edgeaff_face) || face.crop == nullptr)
      return session->Fail(EDGEAFF_E_ARGUMENT, "a face must have its size and a crop.");
    known[i] = {face.track_id, {face.box[0], face.box[1], face.box[2], face.box[3]}, face.score, face.crop};
    if (!edgeaff::IsFace(known[i].box, known[i].score)) {
      return session->Fail(EDGEAFF_E_ARGUMENT,
                           "a face must have a finite box with x1 > x0 and y1 > y0 and a score in [0, 1].");
    }
  }
  return Guard(session, [&] { session->core.PushFaces(known, static_cast<size_t>(count), pts_ns); });
}

int32_t edgeaff_push_rows(edgeaff_session* session, const float* rows, int32_t count, int64_t pts_ns) {
  if (session == nullptr) return EDGEAFF_E_ARGUMENT;
  if (const int32_t code =
          CheckOpen(session, session->options.audio != 0, "audio must be declared in edgeaff_options to push it."))
    return code;
  if (count < 0 || count > kMostDescriptorRows || (rows == nullptr && count > 0))
    return session->Fail(EDGEAFF_E_ARGUMENT, "rows must hold 0 to 2^20 of them.");
  edgeaff::AudioData data;
  data.rows = rows, data.count = static_cast<size_t>(count);
  for (size_t i = 0; i < data.count * edgeaff::kLldSize; ++i) {
    if (!std::isfinite(rows[i])) return session->Fail(EDGEAFF_E_ARGUMENT, "rows must be finite.");
  }
  return Guard(session, [&] { session->core.PushRows(data, pts_ns); });
}

int32_t edgeaff_advance(edgeaff_session* session, int64_t pts_ns) {
  if (session == nullptr) return EDGEAFF_E_ARGUMENT;
  if (const int32_t code = CheckOpen(session, true, "")) return code;
  return Guard(session, [&] { session->core.Advance(pts_ns); });
}

int32_t edgeaff_finish(edgeaff_session* session) {
  if (session == nullptr) return EDGEAFF_E_ARGUMENT;
  if (const int32_t code = CheckOpen(session, true, "")) return code;
  return Guard(session, [&] { session->core.Finish(); });
}

int32_t edgeaff_reset(edgeaff_session* session) {
  if (session == nullptr) return EDGEAFF_E_ARGUMENT;
  session->first = session->waiting = 0;
  return Guard(session, [&] { session->core.Reset(); });
}

int32_t edgeaff_degrade(edgeaff_session* session, int32_t step) {
  if (session == nullptr) return EDGEAFF_E_ARGUMENT;
  if (step < 0 || step > edgeaff::kMostDegraded) return session->Fail(EDGEAFF_E_ARGUMENT, "step must be 0 to 2.");
  return Guard(session, [&] { session->core.Degrade(step); });
}

int32_t edgeaff_poll(edgeaff_session* session, edgeaff_event* event) {
  if (session == nullptr) return EDGEAFF_E_ARGUMENT;
  if (event == nullptr || event->size < sizeof(uint32_t))
    return session->Fail(EDGEAFF_E_ARGUMENT, "event.size must be set: use EDGEAFF_INIT.");
  if (session->waiting == 0) return 0;
  const uint32_t size = event->size;
  std::memcpy(event, &session->ring[session->first], std::min<size_t>(size, sizeof(edgeaff_event)));
  event->size = size;
  session->first = (session->first + 1) % session->ring.size();
  --session->waiting;
  return 1;
}

int32_t edgeaff_counts_of(const edgeaff_session* session, edgeaff_counts* counts) {
  if (session == nullptr || counts == nullptr || counts->size < sizeof(uint32_t)) return EDGEAFF_E_ARGUMENT;
  const edgeaff::InputCounts& c = const_cast<edgeaff_session*>(session)->core.counts();
  const auto number = [](int64_t value) { return static_cast<uint64_t>(value); };
  const edgeaff_counts all{counts->size,
                           0,
                           number(c.frames_used),
                           number(c.frames_unused),
                           number(c.chunks_used),
                           number(c.chunks_unused),
                           number(c.frames_not_newer),
                           number(c.frames_late),
                           number(c.samples_overlapping),
                           number(c.samples_filled),
                           number(c.samples_not_finite),
                           number(c.samples_late),
                           number(c.rows_not_newer),
                           number(c.audio_restarts),
                           number(c.jumps),
                           number(c.steps_back),
                           number(c.inputs_unconfirmed),
                           number(c.inputs_before_jump),
                           number(c.values_rejected),
                           session->lost};
  std::memcpy(counts, &all, std::min<size_t>(counts->size, sizeof(all)));
  return EDGEAFF_OK;
}

const char* edgeaff_message(const edgeaff_session* session) {
  return session == nullptr ? "session must not be NULL." : session->message;
}

}  // extern "C"
