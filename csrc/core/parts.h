// What the session core is made of: the rules of a bundle's preprocessing, and the one small interface behind which the networks
// stand. The native ones implement it; other engines enter here.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/face_tracker.h"
#include "core/lld_normalizer.h"
#include "core/speech_gate.h"
#include "vision/crop_resize.h"

namespace edgeaff {

// How frames and samples become the model's input: PreprocessSpec in edgeaff/spec.py.
struct PreprocessRules {
  int model_rate_hz = 30;
  int64_t audio_lag_ns = 0;
  int audio_context_steps = 1, audio_vector_size = kLldSize;
  int lld_max_pitch_lag = 4;
  double crop_margin = 1.0;
  int crop_size_px = 96;
  int64_t face_staleness_ns = 0;
  NormalizerRules normalizer;
  SpeechRules speech;
};

// Finds faces, best first. Not thread-safe.
class FaceDetector {
 public:
  virtual ~FaceDetector() = default;
  virtual void Detect(const ImageView& image, std::vector<FaceDetection>* found) = 0;
};

// Describes a face. Not thread-safe.
class FaceEncoder {
 public:
  virtual ~FaceEncoder() = default;
  // crop: (crop_size_px, crop_size_px, 3) RGB, packed.
  virtual void Encode(const uint8_t* crop, std::vector<float>* descriptor) = 0;
  // Writes the crop of a face by another rule, or gives false: then the rule of the spec crops.
  virtual bool Crop(const ImageView&, const FaceBox&, uint8_t*) { return false; }
};

// One usable face of a frame. descriptor: of the frame at encoded_pts_ns; crop: where crops are kept; origin: what a binding
// attaches to a face that was pushed.
struct FaceInput {
  TrackedFace face{};
  int64_t encoded_pts_ns = 0;
  std::vector<float> descriptor;
  std::vector<uint8_t> crop;
  std::shared_ptr<void> origin;
};

// Stands where frames have become crops and audio has become LLDs: a recorder notes them, a replay gives them.
class InputTap {
 public:
  virtual ~InputTap() = default;
  // faces: those of the frame at pts_ns, not encoded yet; `find` detects, tracks and crops them.
  virtual void Faces(int64_t pts_ns, const std::function<void()>& find, std::vector<FaceInput>* faces) = 0;
  // rows: (n, 65) that became final; `pop` computes them.
  virtual void Rows(const std::function<void()>& pop, std::vector<float>* rows) = 0;
};

// Valence and arousal of one tick. The state is plain memory: zeros before the first tick, and it may be copied.
class AffectPredictor {
 public:
  virtual ~AffectPredictor() = default;
  virtual int64_t state_floats() const = 0;
  // video, audio: null where absent. values (4): valence, arousal, and the standard deviations of their errors for the face at hand,
  // 0 where the model states none.
  virtual void Step(float* state, const float* video, const float* audio, float* values) = 0;
};

// What a preprocessor is made of; all stay the caller's.
struct PreprocessParts {
  FaceDetector* detector = nullptr;  // null: frames come with their faces
  FaceEncoder* encoder = nullptr;
  InputTap* tap = nullptr;
  Normalizer* normalizer = nullptr;  // null: that of the rules
  VoiceGate* speech = nullptr;       // null: that of the rules
};

}  // namespace edgeaff
