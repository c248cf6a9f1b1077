#include "core/ssd_detector.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "edgeaff/aligned_memory.h"
#include "vision/second_look.h"

namespace edgeaff {
namespace {

constexpr int kMultiple = 32;
constexpr int kStrides[3] = {8, 16, 32};
constexpr double kCandidateScore = 0.3;  // below, the first look decides alone: no face
constexpr float kClearScore = 0.85f;     // above, the first look decides alone: a face
constexpr int kMostSecondLooks = 8;
constexpr int kLookSize = 96;
constexpr double kLookMargin = 1.7, kLookWeight = 0.75;
constexpr float kLookIou = 0.4f, kCoverLimit = 0.4f;
constexpr float kVoteMargin = 1.0f, kSuppressIou = 0.3f, kVoteIou = 0.6f;
constexpr int kMostCandidates = 400;

int RoundUp(int value) { return (value + kMultiple - 1) / kMultiple * kMultiple; }

std::unique_ptr<char[]> NewWorkspace(const ConvNet& net, int height, int width) {
  const int64_t bytes = net.WorkspaceBytes(height, width);
  if (bytes == 0) throw std::invalid_argument("the network does not serve this input size");
  auto memory = std::make_unique<char[]>(static_cast<size_t>(bytes + kAlignment));
  net.Prepare(height, width, Aligned(memory.get()));
  return memory;
}

}  // namespace

SsdDetector::SsdDetector(const ConvNet& net, const SsdRules& rules) : net_(net), rules_(rules) {
  if (net.outputs() != 3) throw std::invalid_argument("a face detector must have three maps");
  Bind(kLookSize, kLookSize, &look_);
  found_.reserve(kMostCandidates);
}

void SsdDetector::Detect(const ImageView& image, std::vector<FaceDetection>* detections) {
  const Letterbox box = Fit(image.width, image.height);
  if (box.width != letterbox_.width || box.height != letterbox_.height) {
    if (box.canvas_width != whole_.width || box.canvas_height != whole_.height)
      Bind(box.canvas_width, box.canvas_height, &whole_);
    std::fill(whole_.canvas.begin(), whole_.canvas.end(), uint8_t{0});
  }
  letterbox_ = box;
  const CropBox everything{0.0, 0.0, static_cast<double>(image.width), static_cast<double>(image.height)};
  const ptrdiff_t plane = static_cast<ptrdiff_t>(box.canvas_width) * box.canvas_height;
  CropResize(image, everything, box.height, box.width, {whole_.canvas.data(), box.canvas_width, plane});

  const double limit = std::min(kCandidateScore, rules_.score_threshold);
  const DecodeRules decode{static_cast<float>(std::log(limit / (1 - limit))), kVoteMargin, kMostCandidates,
                           kSuppressIou, kVoteIou};
  const float scale_x = static_cast<float>(box.scale_x), scale_y = static_cast<float>(box.scale_y);
  found_.clear();
  for (const DecodedFace& face : DecodeMaps(Run(&whole_), 3, decode)) {
    found_.push_back(
        {{face.box[0] / scale_x, face.box[1] / scale_y, face.box[2] / scale_x, face.box[3] / scale_y}, face.score});
  }
  int looks = 0;
  for (Found& one : found_) {
    if (!(one.score < kClearScore) || looks == kMostSecondLooks) continue;
    ++looks;
    one.score = LookAgain(image, one);
  }
  const float least = static_cast<float>(rules_.score_threshold);
  found_.erase(std::remove_if(found_.begin(), found_.end(), [&](const Found& one) { return !(one.score > least); }),
               found_.end());
  for (size_t i = 1; i < found_.size(); ++i) {  // stable, in place
    for (size_t j = i; j > 0 && found_[j].score > found_[j - 1].score; --j) std::swap(found_[j], found_[j - 1]);
  }
  DropCovered();
  detections->clear();
  for (const Found& one : found_) detections->push_back({{one.box[0], one.box[1], one.box[2], one.box[3]}, one.score});
}

SsdDetector::Letterbox SsdDetector::Fit(int width, int height) const {
  Letterbox box;
  const int side = rules_.input_long_side;
  const double scale = static_cast<double>(side) / std::max(width, height);
  box.width = std::min(std::max(static_cast<int>(std::nearbyint(width * scale)), 1), side);
  box.height = std::min(std::max(static_cast<int>(std::nearbyint(height * scale)), 1), side);
  box.canvas_width = RoundUp(box.width), box.canvas_height = RoundUp(box.height);
  box.scale_x = static_cast<double>(box.width) / width, box.scale_y = static_cast<double>(box.height) / height;
  return box;
}

void SsdDetector::Bind(int width, int height, Bound* bound) const {
  bound->workspace = NewWorkspace(net_, height, width);
  bound->width = width, bound->height = height;
  bound->canvas.assign(static_cast<size_t>(3) * width * height, 0);
  for (int output = 0; output < 3; ++output) {
    const ConvNet::Shape shape = net_.OutputShape(output, height, width);
    bound->maps[output].resize(static_cast<size_t>(shape.rows) * shape.columns * shape.values);
    bound->outputs[output] = bound->maps[output].data();
  }
  for (int i = 0; i < 3; ++i) {
    const int output = rules_.map_order[i];
    const ConvNet::Shape shape = net_.OutputShape(output, height, width);
    if (shape.values < 5 + 2 * kFacePoints || shape.rows * kStrides[i] != height ||
        shape.columns * kStrides[i] != width) {
      throw std::invalid_argument("a map of the face detector has another shape than its stride gives");
    }
    bound->views[i] = {bound->maps[output].data(), shape.rows, shape.columns, kStrides[i], 1, shape.values};
  }
}

const DetectorMap* SsdDetector::Run(Bound* bound) const {
  net_.Run(bound->canvas.data(), bound->height, bound->width, Aligned(bound->workspace.get()), bound->outputs);
  return bound->views;
}

// The weighted mean of both looks' logits, as a score.
float SsdDetector::LookAgain(const ImageView& image, const Found& found) {
  const double x0 = found.box[0], y0 = found.box[1], x1 = found.box[2], y1 = found.box[3];
  const double width = x1 - x0, height = y1 - y0, x = (x0 + x1) / 2, y = (y0 + y1) / 2;
  const double half = kLookMargin * std::max(width, height) / 2;
  const bool seen = CropResize(image, {x - half, y - half, x + half, y + half}, kLookSize, kLookSize,
                               {look_.canvas.data(), kLookSize, static_cast<ptrdiff_t>(kLookSize) * kLookSize});
  if (!seen) return found.score;
  const double middle = kLookSize / 2, reach = kLookSize / (4 * half);
  const float expected[4] = {static_cast<float>(middle - width * reach), static_cast<float>(middle - height * reach),
                             static_cast<float>(middle + width * reach), static_cast<float>(middle + height * reach)};
  const double again = static_cast<double>(BestLogit(Run(&look_), 3, expected, kLookIou));
  const double score = static_cast<double>(found.score), first = std::log(score / (1 - score));
  return static_cast<float>(1 / (1 + std::exp(-(first + kLookWeight * again) / (1 + kLookWeight))));
}

// Drops the boxes that share more than kCoverLimit of the smaller one's area with a kept one before.
void SsdDetector::DropCovered() {
  const auto area = [](const float* box) {
    return std::max(std::max(box[2] - box[0], 0.0f) * std::max(box[3] - box[1], 0.0f), 1e-9f);
  };
  size_t kept = 0;
  for (size_t i = 0; i < found_.size(); ++i) {
    const float* box = found_[i].box;
    bool covered = false;
    for (size_t k = 0; k < kept && !covered; ++k) {
      const float* other = found_[k].box;
      const float width = std::max(std::min(box[2], other[2]) - std::max(box[0], other[0]), 0.0f);
      const float height = std::max(std::min(box[3], other[3]) - std::max(box[1], other[1]), 0.0f);
      covered = width * height > kCoverLimit * std::min(area(box), area(other));
    }
    if (!covered) found_[kept++] = found_[i];
  }
  found_.resize(kept);
}

NetEncoder::NetEncoder(const ConvNet& net, int crop_size_px) : net_(net), size_(crop_size_px) {
  if (net.outputs() != 1) throw std::invalid_argument("a face encoder must have one descriptor");
  const ConvNet::Shape shape = net.OutputShape(0, size_, size_);
  output_size_ = static_cast<int64_t>(shape.rows) * shape.columns * shape.values;
  workspace_ = NewWorkspace(net, size_, size_);
}

void NetEncoder::Encode(const uint8_t* crop, std::vector<float>* descriptor) {
  descriptor->resize(static_cast<size_t>(output_size_));
  float* outputs[1] = {descriptor->data()};
  net_.Run(crop, size_, size_, Aligned(workspace_.get()), outputs);
}

}  // namespace edgeaff
