// What the session core is made of: the rules of a bundle's preprocessing, and the one small interface behind which the networks
// stand. The native ones implement it; other engines enter here.
#pragma once
#include <cstdint>
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
  virtual int descriptor_size() const = 0;
  // crop: (crop_size_px, crop_size_px, 3) RGB, packed.
  virtual void Encode(const uint8_t* crop, float* descriptor) = 0;
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

}  // namespace edgeaff
