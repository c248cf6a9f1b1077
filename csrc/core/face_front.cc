#include "core/face_front.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "core/tick_clock.h"
#include "vision/thumbnail.h"

namespace edgeaff {
namespace {

constexpr int64_t kSparseDetectionNs =
    3 * kNanoseconds / 10;  // a confirmed track is usable for 0.5 s: one search may fail

// The gray view of an image of any format; luma of limited range is brought to 0..255.
void Thumbnail(const ImageView& image, int32_t* sums) {
  const uint8_t* data = image.data;
  ptrdiff_t channel = image.channel_stride;
  if (image.format == PixelFormat::kBgr) {
    data += 2 * channel;
    channel = -channel;
  } else if (image.format != PixelFormat::kRgb) {
    channel = 0;
  }
  GraySums(data, image.height, image.width, image.row_stride, image.pixel_stride, channel, sums);
  if (image.format != PixelFormat::kNv12) return;
  constexpr int64_t kLow = 16, kRange = 219;
  for (int i = 0; i < kThumbnailSize * kThumbnailSize; ++i) {
    const int64_t level = std::max<int64_t>(sums[i] - kLow * kGrayScale, 0) * 255 / kRange;
    sums[i] = static_cast<int32_t>(std::min<int64_t>(level, 255 * kGrayScale));
  }
}

// Removes and counts faces whose box or score is out of range.
void DropUnusable(std::vector<FaceInput>* faces, InputCounts* counts) {
  const auto last = std::remove_if(faces->begin(), faces->end(),
                                   [](const FaceInput& one) { return !IsFace(one.face.box, one.face.score); });
  counts->values_rejected += faces->end() - last;
  faces->erase(last, faces->end());
}

}  // namespace

// Pixels are packed; NV12 keeps its two planes one behind the other.
void FrameData::Keep() {
  if (has_faces) {
    owned.resize(faces.size() * static_cast<size_t>(crop_bytes));
    for (size_t i = 0; i < faces.size(); ++i) {
      uint8_t* const to = owned.data() + i * static_cast<size_t>(crop_bytes);
      if (faces[i].crop != to) std::memcpy(to, faces[i].crop, static_cast<size_t>(crop_bytes));
      faces[i].crop = to;
    }
    return;
  }
  const bool color = image.format == PixelFormat::kRgb || image.format == PixelFormat::kBgr;
  const int channels = color ? 3 : 1;
  const int rows = image.format == PixelFormat::kNv12 ? image.height * 3 / 2 : image.height;
  std::vector<uint8_t> copy(static_cast<size_t>(rows) * static_cast<size_t>(image.width) *
                            static_cast<size_t>(channels));
  uint8_t* to = copy.data();
  for (int y = 0; y < rows; ++y) {
    const bool luma = y < image.height || image.chroma == nullptr;
    const uint8_t* pixel =
        luma ? image.data + y * image.row_stride : image.chroma + (y - image.height) * image.chroma_row_stride;
    for (int x = 0; x < image.width; ++x, pixel += image.pixel_stride) {
      for (int c = 0; c < channels; ++c) *to++ = pixel[c * image.channel_stride];
    }
  }
  owned.swap(copy);
  image.data = owned.data();
  image.row_stride = static_cast<ptrdiff_t>(image.width) * channels, image.pixel_stride = channels,
  image.channel_stride = 1;
  image.chroma = nullptr;
}

void FrameData::Release() {
  owned = {};
  faces.clear();
  image.data = nullptr;
}

FaceFront::FaceFront(const PreprocessRules& rules, const PreprocessParts& parts, const Options& options,
                     InputCounts* counts)
    : rules_(rules),
      parts_(parts),
      counts_(counts),
      stride_(options.detector_stride),
      keep_crops_(options.keep_crops || parts.tap != nullptr),
      tracker_(options.max_faces, rules.face_staleness_ns),
      crop_(CropBytes()) {}

void FaceFront::Process(int64_t pts_ns, FrameData* frame, FaceInputs* result) {
  if (parts_.tap != nullptr) {
    parts_.tap->Faces(pts_ns, [&] { Find(pts_ns, *frame); }, &found_);
    DropUnusable(&found_, counts_);
  } else {
    Find(pts_ns, *frame);
  }
  ++frames_;
  const bool keep = degraded_ >= 2 && frames_ % 2 == 0;
  for (size_t i = 0; i < found_.size(); ++i) {
    FaceInput& input = found_[i];
    const auto known = std::find_if(known_.rbegin(), known_.rend(),
                                    [&](const FaceInput& one) { return one.face.track_id == input.face.track_id; });
    if (keep && known != known_.rend()) {
      input.descriptor = known->descriptor;
      input.encoded_pts_ns = known->encoded_pts_ns;
    } else {
      parts_.encoder->Encode(CropOf(*frame, i), &input.descriptor);
      input.encoded_pts_ns = pts_ns;
    }
  }
  known_.clear();
  for (const FaceInput& input : found_) {
    known_.emplace_back();
    known_.back().face = input.face;
    known_.back().encoded_pts_ns = input.encoded_pts_ns;
    known_.back().descriptor = input.descriptor;
  }
  result->faces.swap(found_);
}

// Writes found_: faces, and crops where they are kept.
void FaceFront::Find(int64_t pts_ns, const FrameData& frame) {
  found_.clear();
  if (!frame.has_faces) {
    Track(pts_ns, frame.image);
  } else {
    for (const KnownFace& face : frame.faces) {
      found_.emplace_back();
      found_.back().face = {face.track_id, face.box, face.score, pts_ns};
      found_.back().origin = face.origin;
    }
  }
  if (!keep_crops_) return;
  for (size_t i = 0; i < found_.size(); ++i) {
    const uint8_t* const crop = CropOf(frame, i);
    found_[i].crop.assign(crop, crop + CropBytes());
  }
}

void FaceFront::Track(int64_t pts_ns, const ImageView& image) {
  if (parts_.detector == nullptr) throw std::invalid_argument("there is no detector: push faces instead of frames");
  bool due = count_ % stride_ == 0;
  if (degraded_ > 0 && searched_ns_) due = pts_ns - *searched_ns_ >= kSparseDetectionNs;
  ++count_;
  if (due) {
    searched_ns_ = pts_ns;
    parts_.detector->Detect(image, &detections_);
    const auto last = std::remove_if(detections_.begin(), detections_.end(),
                                     [](const FaceDetection& one) { return !IsFace(one.box, one.score); });
    counts_->values_rejected += detections_.end() - last;
    detections_.erase(last, detections_.end());
  }
  int32_t sums[kThumbnailSize * kThumbnailSize];
  Thumbnail(image, sums);
  for (const TrackedFace& face : tracker_.Update(pts_ns, sums, due ? &detections_ : nullptr)) {
    found_.emplace_back();
    found_.back().face = face;
  }
  DropUnusable(&found_, counts_);
}

// The pixels of a face: those that came with it, or what is cropped now.
const uint8_t* FaceFront::CropOf(const FrameData& frame, size_t index) {
  const FaceInput& face = found_[index];
  if (!face.crop.empty()) return face.crop.data();
  if (frame.has_faces) return frame.faces[index].crop;
  if (!parts_.encoder->Crop(frame.image, face.face.box, crop_.data())) Crop(frame.image, face.face.box, crop_.data());
  return crop_.data();
}

size_t FaceFront::CropBytes() const {
  return static_cast<size_t>(rules_.crop_size_px) * static_cast<size_t>(rules_.crop_size_px) * 3;
}

// Rule box_centre_square_v1.
void FaceFront::Crop(const ImageView& image, const FaceBox& box, uint8_t* crop) const {
  const double half = rules_.crop_margin * std::max(box.x1 - box.x0, box.y1 - box.y0) / 2;
  const double x = (box.x0 + box.x1) / 2, y = (box.y0 + box.y1) / 2;
  const int size = rules_.crop_size_px;
  if (!CropResize(image, {x - half, y - half, x + half, y + half}, size, size,
                  {crop, static_cast<ptrdiff_t>(size) * 3, 0})) {
    throw std::invalid_argument("the face cannot be cropped");
  }
}

}  // namespace edgeaff
