// edgeaff.ops._C: the preprocessor of csrc/core and its native parts, for edgeaff/preprocess.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings.h"
#include "core/lld_normalizer.h"
#include "core/preprocessor.h"
#include "core/speech_gate.h"
#include "core/ssd_detector.h"
#include "core_parts.h"

namespace edgeaff {
namespace {

namespace py = pybind11;

constexpr std::pair<const char*, int64_t InputCounts::*> kCounts[] = {
    {"frames_used", &InputCounts::frames_used},
    {"frames_unused", &InputCounts::frames_unused},
    {"chunks_used", &InputCounts::chunks_used},
    {"chunks_unused", &InputCounts::chunks_unused},
    {"frames_not_newer", &InputCounts::frames_not_newer},
    {"frames_late", &InputCounts::frames_late},
    {"samples_overlapping", &InputCounts::samples_overlapping},
    {"samples_filled", &InputCounts::samples_filled},
    {"samples_not_finite", &InputCounts::samples_not_finite},
    {"samples_late", &InputCounts::samples_late},
    {"rows_not_newer", &InputCounts::rows_not_newer},
    {"audio_restarts", &InputCounts::audio_restarts},
    {"jumps", &InputCounts::jumps},
    {"steps_back", &InputCounts::steps_back},
    {"inputs_unconfirmed", &InputCounts::inputs_unconfirmed},
    {"inputs_before_jump", &InputCounts::inputs_before_jump},
    {"values_rejected", &InputCounts::values_rejected},
};

// A part of a preprocessor: a bound one that C++ uses directly, or an adapter to a part in Python.
template <class Part>
struct Held {
  py::object object;  // keeps a bound one alive
  std::unique_ptr<Part> adapter;
  Part* get = nullptr;
};

template <class Native, class Part, class Adapt>
Held<Part> Hold(const py::object& object, Adapt adapt) {
  Held<Part> held;
  held.object = object;
  if (object.is_none()) return held;
  if (py::isinstance<Native>(object)) {
    held.get = object.cast<Native*>();
  } else {
    held.adapter = adapt();
    held.get = held.adapter.get();
  }
  return held;
}

PreprocessRules RulesOf(const py::dict& spec) {
  PreprocessRules rules;
  rules.model_rate_hz = spec["model_rate_hz"].cast<int>();
  rules.audio_lag_ns = spec["audio_lag_ns"].cast<int64_t>();
  rules.audio_context_steps = spec["audio_context_steps"].cast<int>();
  rules.audio_vector_size = spec["audio_vector_size"].cast<int>();
  rules.lld_max_pitch_lag = spec["lld_max_pitch_lag"].cast<int>();
  rules.crop_margin = spec["crop_margin"].cast<double>();
  rules.crop_size_px = spec["crop_size_px"].cast<int>();
  rules.face_staleness_ns = spec["face_staleness_ns"].cast<int64_t>();
  if (rules.model_rate_hz < 1 || rules.audio_context_steps < 1 || rules.crop_size_px < 1 ||
      rules.audio_vector_size / kLldSize < rules.audio_context_steps) {
    throw py::value_error("the spec is out of range");
  }
  return rules;
}

PreprocessOptions OptionsOf(const py::dict& given) {
  PreprocessOptions options;
  options.video = given["video"].cast<bool>(), options.audio = given["audio"].cast<bool>();
  options.live = given["live"].cast<bool>();
  options.max_faces = given["max_faces"].cast<int>();
  options.detector_stride = given["detector_stride"].cast<int>();
  options.staleness_ns = given["staleness_ns"].cast<int64_t>(), options.skew_ns = given["skew_ns"].cast<int64_t>();
  options.keep_crops = given["keep_crops"].cast<bool>();
  if (options.max_faces < 1 || options.detector_stride < 1) throw py::value_error("the options are out of range");
  return options;
}

// The preprocessor with parts from Python; pushes give lists of TickInput. One call at a time: the GIL is released meanwhile.
class PythonPreprocessor {
 public:
  PythonPreprocessor(const py::dict& spec, const py::dict& options, const py::dict& parts, const py::dict& types,
                     py::object counts)
      : types_{types["tick"], types["face_input"],     types["face"],
               types["box"],  types["argument_error"], types["state_error"]},
        rules_(RulesOf(spec)),
        counts_(std::move(counts)),
        detector_(Hold<SsdDetector, FaceDetector>(
            parts["detector"], [&] { return std::make_unique<PythonDetector>(parts["detector"], frame_); })),
        encoder_(HoldEncoder(parts["encoder"])),
        normalizer_(Hold<LldNormalizer, Normalizer>(
            parts["normalizer"], [&] { return std::make_unique<PythonNormalizer>(parts["normalizer"]); })),
        speech_(Hold<SpeechGate, VoiceGate>(parts["speech"],
                                            [&] { return std::make_unique<PythonVoiceGate>(parts["speech"]); })) {
    if (!parts["tap"].is_none()) tap_ = std::make_unique<PythonTap>(parts["tap"], rules_.crop_size_px, types_);
    const PreprocessParts made{detector_.get, encoder_.get, tap_.get(), normalizer_.get, speech_.get};
    core_.emplace(rules_, OptionsOf(options), made, [this](const TickInput& tick) { Take(tick); });
  }

  py::list PushFrame(const py::array_t<uint8_t>& image, int64_t pts_ns) {
    if (image.ndim() != 3 || image.shape(2) != 3 || image.size() == 0 || image.shape(0) > 1 << 24 ||
        image.shape(1) > 1 << 24) {
      throw py::value_error("image must be (H, W, 3) uint8");
    }
    Input input{InputKind::kImage, pts_ns, pts_ns, {}};
    input.payload.is_frame = true;
    input.payload.frame.image = {image.data(),
                                 static_cast<int>(image.shape(0)),
                                 static_cast<int>(image.shape(1)),
                                 image.strides(0),
                                 image.strides(1),
                                 image.strides(2),
                                 PixelFormat::kRgb};
    return Call([&] { core_->Offer(std::move(input)); }, &image);
  }

  // faces: (face, crop) pairs; crops are packed.
  py::list PushFaces(const py::list& faces, int64_t pts_ns) {
    Input input{InputKind::kFaces, pts_ns, pts_ns, {}};
    input.payload.is_frame = true;
    FrameData& frame = input.payload.frame;
    frame.has_faces = true;
    frame.crop_bytes = rules_.crop_size_px * rules_.crop_size_px * 3;
    for (const py::handle item : faces) {
      const py::tuple pair(py::reinterpret_borrow<py::object>(item));
      const auto crop = pair[1].cast<py::array_t<uint8_t, py::array::c_style>>();
      if (crop.size() != frame.crop_bytes) throw py::value_error("crop has another size");
      frame.faces.push_back({pair[0].attr("track_id").cast<int64_t>(), BoxOf(pair[0].attr("box")),
                             NumberOf(pair[0].attr("score")), crop.data(), Carry(pair[0])});
    }
    return Call([&] { core_->Offer(std::move(input)); });
  }

  // samples: (n,) int16 or float32; end_ns: of its last one.
  py::list PushSamples(const py::array& samples, int rate_hz, int64_t pts_ns, int64_t end_ns) {
    Input input{InputKind::kSamples, pts_ns, end_ns, {}};
    const bool whole = samples.dtype().kind() == 'i' && samples.itemsize() == sizeof(int16_t);
    const bool real = samples.dtype().kind() == 'f' && samples.itemsize() == sizeof(float);
    const bool packed = samples.ndim() == 1 && (samples.flags() & py::array::c_style) != 0;
    if ((!whole && !real) || !packed || samples.size() == 0 || rate_hz <= 0)
      throw py::value_error("samples must be packed int16 or float32");
    if (whole) input.payload.audio.whole = static_cast<const int16_t*>(samples.data());
    if (real) input.payload.audio.real = static_cast<const float*>(samples.data());
    input.payload.audio.count = static_cast<size_t>(samples.size());
    input.payload.rate_hz = rate_hz;
    return Call([&] { core_->Offer(std::move(input)); });
  }

  // rows: (n, 65) float32, finite.
  py::list PushRows(const py::array_t<float, py::array::c_style>& rows, int64_t pts_ns, int64_t end_ns) {
    if (rows.ndim() != 2 || rows.shape(1) != kLldSize || rows.size() == 0)
      throw py::value_error("rows must be (n, 65)");
    Input input{InputKind::kRows, pts_ns, end_ns, {}};
    input.payload.audio.rows = rows.data();
    input.payload.audio.count = static_cast<size_t>(rows.shape(0));
    return Call([&] { core_->Offer(std::move(input)); });
  }

  py::list Advance(int64_t pts_ns) {
    return Call([&] { core_->Offer({InputKind::kClock, pts_ns, pts_ns, {}}); });
  }
  py::list Finish() {
    return Call([&] { core_->Finish(); });
  }
  void Reset() {
    Call([&] { core_->Reset(); });
  }
  void Degrade(int step) {
    Call([&] { core_->Degrade(step); });
  }
  void ReplaceEncoder(const py::object& encoder) {
    Held<FaceEncoder> next = HoldEncoder(encoder);
    Call([&] { core_->ReplaceEncoder(next.get); });
    encoder_ = std::move(next);
  }

 private:
  Held<FaceEncoder> HoldEncoder(const py::object& encoder) {
    return Hold<NetEncoder, FaceEncoder>(
        encoder, [&] { return std::make_unique<PythonEncoder>(encoder, rules_.crop_size_px, frame_, types_); });
  }

  // Runs one call of the core and gives its ticks. The counts in Python follow, also where it fails.
  template <class Work>
  py::list Call(Work work, const py::array_t<uint8_t>* image = nullptr) {
    if (busy_) {
      PyErr_SetString(types_.state_error.ptr(),
                      "a session must be called from one thread at a time, got a call during another; use a lock.");
      throw py::error_already_set();
    }
    struct Scope {
      PythonPreprocessor* self;
      ~Scope() {
        self->busy_ = false;
        self->frame_.Clear();
        self->ticks_ = py::list();
      }
    } const scope{this};
    busy_ = true;
    if (image != nullptr) frame_.Set(*image);
    try {
      const py::gil_scoped_release released;
      work();
    } catch (...) {
      CountOn();
      throw;
    }
    CountOn();
    return std::move(ticks_);
  }

  void CountOn() {
    for (const auto& [name, member] : kCounts) {
      const int64_t more = core_->counts().*member - counted_.*member;
      if (more == 0) continue;
      counts_.attr(name) = py::object(counts_.attr(name)) + py::int_(more);
    }
    counted_ = core_->counts();
  }

  void Take(const TickInput& tick) {
    const py::gil_scoped_acquire gil;
    py::tuple faces(tick.face_count);
    for (size_t i = 0; i < tick.face_count; ++i) {
      const FaceInput& face = *tick.faces[i];
      const int side = face.crop.empty() ? 0 : rules_.crop_size_px;
      faces[i] = types_.face_input(FaceOf(face, types_), Pixels(face.crop.data(), side),
                                   Floats(face.descriptor.data(), static_cast<py::ssize_t>(face.descriptor.size())),
                                   face.face.detected_pts_ns, face.encoded_pts_ns);
    }
    const auto optional = [](const float* values, int count) -> py::object {
      return values == nullptr ? py::object(py::none()) : Floats(values, count);
    };
    ticks_.append(types_.tick(tick.tick, tick.pts_ns, tick.restart, std::move(faces), tick.frame_pts_ns,
                              optional(tick.audio, rules_.audio_vector_size), optional(tick.lld, kLldSize),
                              tick.audio_center_ns, tick.stale));
  }

  PythonTypes types_;
  PreprocessRules rules_;
  py::object counts_;
  InputCounts counted_;
  PushedFrame frame_;
  Held<FaceDetector> detector_;
  Held<FaceEncoder> encoder_;
  Held<Normalizer> normalizer_;
  Held<VoiceGate> speech_;
  std::unique_ptr<PythonTap> tap_;
  py::list ticks_;
  bool busy_ = false;
  std::optional<Preprocessor> core_;
};

SsdRules SsdRulesOf(double score_threshold, int input_long_side, const std::vector<int>& map_order) {
  SsdRules rules;
  if (map_order.size() != 3 || input_long_side < 32) throw py::value_error("there must be three maps");
  rules.score_threshold = score_threshold, rules.input_long_side = input_long_side;
  std::copy_n(map_order.begin(), 3, rules.map_order);
  return rules;
}

}  // namespace

void BindCorePreprocessor(py::module_& module) {
  py::class_<SsdDetector>(module, "SsdDetector")
      .def(py::init([](const ConvNet& net, double score_threshold, int input_long_side, const std::vector<int>& maps) {
             return std::make_unique<SsdDetector>(net, SsdRulesOf(score_threshold, input_long_side, maps));
           }),
           py::keep_alive<1, 2>());
  py::class_<NetEncoder>(module, "NetEncoder").def(py::init<const ConvNet&, int>(), py::keep_alive<1, 2>());
  py::class_<PythonPreprocessor>(module, "Preprocessor")
      .def(py::init<const py::dict&, const py::dict&, const py::dict&, const py::dict&, py::object>(), py::arg("spec"),
           py::arg("options"), py::arg("parts"), py::arg("types"), py::arg("counts"))
      .def("push_frame", &PythonPreprocessor::PushFrame, py::arg("image"), py::arg("pts_ns"))
      .def("push_faces", &PythonPreprocessor::PushFaces, py::arg("faces"), py::arg("pts_ns"))
      .def("push_samples", &PythonPreprocessor::PushSamples, py::arg("samples"), py::arg("rate_hz"), py::arg("pts_ns"),
           py::arg("end_ns"))
      .def("push_rows", &PythonPreprocessor::PushRows, py::arg("rows"), py::arg("pts_ns"), py::arg("end_ns"))
      .def("advance", &PythonPreprocessor::Advance, py::arg("pts_ns"))
      .def("finish", &PythonPreprocessor::Finish)
      .def("reset", &PythonPreprocessor::Reset)
      .def("degrade", &PythonPreprocessor::Degrade, py::arg("step"))
      .def("replace_encoder", &PythonPreprocessor::ReplaceEncoder, py::arg("encoder"));
}

}  // namespace edgeaff
