// From a frame to its usable faces: detector, tracker, crop, encoder. Twin: FaceFront in edgeaff/preprocess/faces.py.
#pragma once
#include <cstddef>
#include <cstdint>
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

// One usable face of a frame. descriptor: of the frame at encoded_pts_ns.
struct FaceInput {
  TrackedFace face;
  int64_t encoded_pts_ns = 0;
  std::vector<float> descriptor;
};

struct FaceInputs {
  std::vector<FaceInput> faces;  // the primary one first
  void Clear() { faces.clear(); }
};

class FaceFront {
 public:
  // detector, encoder: stay the caller's; a null detector takes frames with known faces only.
  FaceFront(const PreprocessRules& rules, FaceDetector* detector, FaceEncoder* encoder, InputCounts* counts,
            int max_faces, int detector_stride);

  // Writes the usable faces of one frame.
  void Process(int64_t pts_ns, FrameData* frame, FaceInputs* result);

  // Leaves out work from the next frame on: 1 the detector runs every 0.3 s; 2 and faces are encoded on every second frame.
  void Degrade(int step) { degraded_ = step; }

 private:
  void Track(int64_t pts_ns, const ImageView& image);
  void Crop(const ImageView& image, const FaceBox& box, uint8_t* crop) const;

  const PreprocessRules& rules_;
  FaceDetector* detector_;
  FaceEncoder* encoder_;
  InputCounts* counts_;
  int max_faces_, stride_, degraded_ = 0;
  FaceTracker tracker_;
  int64_t count_ = 0, frames_ = 0;
  std::optional<int64_t> searched_ns_;
  std::vector<FaceDetection> detections_;
  std::vector<TrackedFace> tracked_;
  std::vector<FaceInput> known_, described_;  // of the frame before, of this one
  std::vector<uint8_t> crop_;
};

}  // namespace edgeaff
