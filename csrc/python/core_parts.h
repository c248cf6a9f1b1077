// Parts of a preprocessor for csrc/core: native ones that are bound, and adapters to parts in Python. Calls come without the GIL.
#pragma once
#include <memory>
#include <vector>

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "core/face_front.h"
#include "core/parts.h"
#include "core/ssd_detector.h"

namespace edgeaff {

// A Python object that C++ carries along; let go under the GIL on any thread.
std::shared_ptr<void> Carry(pybind11::object object);
pybind11::object Carried(const std::shared_ptr<void>& carried);  // null stays null

// Python classes that the core's values become.
struct PythonTypes {
  pybind11::object tick, face_input, face, box, argument_error, state_error;
};

// The frame of a call: detectors and encoders in Python get the very array that was pushed, or a copy of what had to wait.
class PushedFrame {
 public:
  void Set(pybind11::array_t<uint8_t> image) { image_ = std::move(image); }
  void Clear() { image_ = {}; }
  pybind11::object Of(const ImageView& view) const;

 private:
  pybind11::array_t<uint8_t> image_;
};

class PythonDetector : public FaceDetector {
 public:
  PythonDetector(pybind11::object detector, const PushedFrame& frame) : detector_(std::move(detector)), frame_(frame) {}
  void Detect(const ImageView& image, std::vector<FaceDetection>* found) override;

 private:
  pybind11::object detector_;
  const PushedFrame& frame_;
};

class PythonEncoder : public FaceEncoder {
 public:
  PythonEncoder(pybind11::object encoder, int crop_size_px, const PushedFrame& frame, const PythonTypes& types)
      : encoder_(std::move(encoder)), size_(crop_size_px), frame_(frame), types_(types) {}
  void Encode(const uint8_t* crop, std::vector<float>* descriptor) override;
  bool Crop(const ImageView& image, const FaceBox& box, uint8_t* crop) override;

 private:
  pybind11::object encoder_;
  int size_;
  const PushedFrame& frame_;
  const PythonTypes& types_;
};

class PythonNormalizer : public Normalizer {
 public:
  explicit PythonNormalizer(pybind11::object normalizer) : normalizer_(std::move(normalizer)) {}
  void Reset() override;
  void UpdateAndNormalize(const float* row, float* out) override;

 private:
  pybind11::object normalizer_;
};

class PythonVoiceGate : public VoiceGate {
 public:
  explicit PythonVoiceGate(pybind11::object gate) : gate_(std::move(gate)) {}
  void Reset() override;
  bool Push(const float* lld) override;

 private:
  pybind11::object gate_;
};

class PythonTap : public InputTap {
 public:
  PythonTap(pybind11::object tap, int crop_size_px, const PythonTypes& types)
      : tap_(std::move(tap)), size_(crop_size_px), types_(types) {}
  void Faces(int64_t pts_ns, const std::function<void()>& find, std::vector<FaceInput>* faces) override;
  void Rows(const std::function<void()>& pop, std::vector<float>* rows) override;

 private:
  pybind11::object tap_;
  int size_;
  const PythonTypes& types_;
};

// Values of the core in Python.
pybind11::array_t<float> Floats(const float* values, pybind11::ssize_t count);
pybind11::array_t<uint8_t> Pixels(const uint8_t* crop, int size);
pybind11::object FaceOf(const FaceInput& face, const PythonTypes& types);  // a TrackedFace
FaceBox BoxOf(pybind11::handle box);
double NumberOf(pybind11::handle number);

}  // namespace edgeaff
