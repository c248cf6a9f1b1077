// From a frame to its usable faces: detector, tracker, crop, encoder. Twin: FaceFront in edgeaff/reference/faces.py.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/face_tracker.h"
#include "core/input_counts.h"
#include "core/parts.h"

namespace edgeaff {

constexpr int kMostDegraded = 2;

// A face that is known already. crop: (size, size, 3) RGB, packed.
struct KnownFace {
  int64_t track_id = 0;
  FaceBox box{};
  double score = 0;
  const uint8_t* crop = nullptr;
  std::shared_ptr<void> origin;  // handed on with the face
};

// A frame on its way: an image, or faces that are known already. Views the caller's memory until Keep().
struct FrameData {
  ImageView image{};
  bool has_faces = false;
  std::vector<KnownFace> faces;
  int crop_bytes = 0;  // of each crop

  // Copies what it views into `owned`.
  void Keep();
  void Release();

  std::vector<uint8_t> owned;
};

struct FaceInputs {
  std::vector<FaceInput> faces;  // the primary one first
  void Clear() { faces.clear(); }
};

class FaceFront {
 public:
  struct Options {
    int max_faces, detector_stride;
    bool keep_crops;
  };

  // parts: stay the caller's, who may replace the encoder between two frames.
  FaceFront(const PreprocessRules& rules, const PreprocessParts& parts, const Options& options, InputCounts* counts);

  // Writes the usable faces of one frame.
  void Process(int64_t pts_ns, FrameData* frame, FaceInputs* result);

  // Leaves out work from the next frame on: 1 the detector runs every 0.3 s; 2 and faces are encoded on every second frame.
  void Degrade(int step) { degraded_ = step; }

 private:
  void Find(int64_t pts_ns, const FrameData& frame);
  void Track(int64_t pts_ns, const ImageView& image);
  const uint8_t* CropOf(const FrameData& frame, size_t index);
  void Crop(const ImageView& image, const FaceBox& box, uint8_t* crop) const;
  size_t CropBytes() const;

  const PreprocessRules& rules_;
  const PreprocessParts& parts_;
  InputCounts* counts_;
  int stride_, degraded_ = 0;
  bool keep_crops_;
  FaceTracker tracker_;
  int64_t count_ = 0, frames_ = 0;
  std::optional<int64_t> searched_ns_;
  std::vector<FaceDetection> detections_;
  std::vector<FaceInput> known_, found_;  // of the frame before, of this one
  std::vector<uint8_t> crop_;
};

}  // namespace edgeaff
