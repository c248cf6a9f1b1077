#include "core/face_tracker.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "core/tick_clock.h"

namespace edgeaff {
namespace {

constexpr int kConfirmingHits = 3;
constexpr double kConfirmingScore = 0.8;
constexpr double kConfirmingSeconds = 0.3;
constexpr double kInstantScore = 0.85;
constexpr int64_t kMemoryNs = kNanoseconds / 4;
constexpr double kGateDistance = 0.7, kGateGrowth = 0.6;
constexpr double kVelocityGain = 0.35, kFirstGain = 0.7;
constexpr double kCoastSeconds = 0.2;
constexpr double kPrimaryHysteresis = 1.3;
constexpr double kAgeLimitSeconds = 3.0;
constexpr int64_t kCutLevels = 26;
constexpr double kTickSeconds = 1.0 / 30;
constexpr double kLeastStepSeconds = 0.01;
constexpr double kLeastSide = 1e-3;
constexpr double kBarred = 1e6;
constexpr double kLogTwo = 0.6931471805599453;
constexpr double kMostCoordinate = 1e5;
constexpr size_t kUsualFaces = 32;

double Seconds(int64_t ns) { return static_cast<double>(ns) / static_cast<double>(kNanoseconds); }

}  // namespace

bool IsFace(const FaceBox& box, double score) {
  return -kMostCoordinate <= box.x0 && box.x0 < box.x1 && box.x1 <= kMostCoordinate && -kMostCoordinate <= box.y0 &&
         box.y0 < box.y1 && box.y1 <= kMostCoordinate && 0 <= score && score <= 1;
}

FaceTracker::FaceTracker(int max_faces, int64_t staleness_ns) : max_faces_(max_faces), staleness_ns_(staleness_ns) {
  tracks_.reserve(kUsualFaces);
  places_.reserve(kUsualFaces);
  group_.reserve(kUsualFaces);
  rest_.reserve(kUsualFaces);
  free_.reserve(kUsualFaces);
  ranked_.reserve(kUsualFaces);
  faces_.reserve(kUsualFaces);
}

void FaceTracker::Reset() {
  tracks_.clear();
  primary_id_.reset(), pts_ns_.reset(), searched_pts_ns_.reset();
  has_thumbnail_ = false;
}

const std::vector<TrackedFace>& FaceTracker::Update(int64_t pts_ns, const int32_t* thumbnail,
                                                    const std::vector<FaceDetection>* detections) {
  pts_ns_ = pts_ns;
  if (thumbnail != nullptr && IsCut(thumbnail)) {
    ++cuts_;
    tracks_.clear();
  }
  if (detections != nullptr) {
    searched_pts_ns_ = pts_ns;
    Match(pts_ns, *detections);
    const int64_t oldest = SaturatingSubtract(pts_ns, staleness_ns_ + kMemoryNs);
    tracks_.erase(std::remove_if(tracks_.begin(), tracks_.end(),
                                 [&](const Track& track) { return track.detected_pts_ns < oldest; }),
                  tracks_.end());
  }
  Rank(pts_ns);
  faces_.clear();
  for (const Track* track : ranked_) {
    if (faces_.size() == static_cast<size_t>(max_faces_)) break;
    const double elapsed = std::min(Seconds(pts_ns - track->detected_pts_ns), kCoastSeconds);
    const Pair center = Moved(track->shown.center, track->velocity, elapsed), size = track->shown.size;
    const FaceBox box{center.x - size.x / 2, center.y - size.y / 2, center.x + size.x / 2, center.y + size.y / 2};
    faces_.push_back({track->id, box, track->score, track->detected_pts_ns});
  }
  return faces_;
}

bool FaceTracker::IsUsable(const Track& track, int64_t pts_ns) const {
  if (pts_ns - track.detected_pts_ns > staleness_ns_) return false;
  return track.confirmed || (track.score >= kInstantScore && track.detected_pts_ns == searched_pts_ns_);
}

// Whether the frame differs from the one before, brightness removed: a lamp switched on is no cut. With n cells and sums of
// kGrayScale per level: mean |(a - mean a) - (b - mean b)| > kCutLevels, multiplied by n^2 kGrayScale.
bool FaceTracker::IsCut(const int32_t* thumbnail) {
  constexpr int64_t kCells = kThumbnailSize * kThumbnailSize;
  bool is_cut = false;
  if (has_thumbnail_) {
    int64_t total = 0, difference = 0;
    for (int64_t i = 0; i < kCells; ++i) total += thumbnail[i] - thumbnail_[i];
    for (int64_t i = 0; i < kCells; ++i) difference += std::llabs(kCells * (thumbnail[i] - thumbnail_[i]) - total);
    is_cut = difference > kCutLevels * kCells * kCells * kGrayScale;
  }
  std::memcpy(thumbnail_, thumbnail, sizeof(thumbnail_));
  has_thumbnail_ = true;
  return is_cut;
}

void FaceTracker::Match(int64_t pts_ns, const std::vector<FaceDetection>& detections) {
  places_.clear();
  for (const FaceDetection& found : detections) places_.push_back(PlaceOf(found.box));
  free_.assign(detections.size(), 1);
  MatchGroup(true, pts_ns, detections);
  MatchGroup(false, pts_ns, detections);
  for (size_t index = 0; index < detections.size(); ++index) {
    if (!free_[index]) continue;
    const double score = detections[index].score;
    tracks_.push_back({next_id_++, pts_ns, pts_ns, places_[index], places_[index], score, score, {0.0, 0.0}, 1, false});
  }
}

// Pairs the tracks of one group with the detections still free.
void FaceTracker::MatchGroup(bool confirmed, int64_t pts_ns, const std::vector<FaceDetection>& detections) {
  group_.clear();
  for (size_t index = 0; index < tracks_.size(); ++index) {
    if (tracks_[index].confirmed == confirmed) group_.push_back(static_cast<int>(index));
  }
  rest_.clear();
  for (size_t index = 0; index < free_.size(); ++index) {
    if (free_[index]) rest_.push_back(static_cast<int>(index));
  }
  if (group_.empty() || rest_.empty()) return;
  const size_t rows = group_.size(), columns = rest_.size();
  costs_.resize(rows * columns);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t column = 0; column < columns; ++column) {
      const Track& track = tracks_[static_cast<size_t>(group_[row])];
      costs_[row * columns + column] =
          Cost(track, places_[static_cast<size_t>(rest_[column])], pts_ns).value_or(kBarred);
    }
  }
  for (const auto& [row, column] : assigner_.Assign(costs_.data(), static_cast<int>(rows), static_cast<int>(columns))) {
    if (costs_[static_cast<size_t>(row) * columns + static_cast<size_t>(column)] == kBarred) continue;
    const size_t index = static_cast<size_t>(rest_[static_cast<size_t>(column)]);
    Correct(&tracks_[static_cast<size_t>(group_[static_cast<size_t>(row)])], places_[index], detections[index].score,
            pts_ns);
    free_[index] = 0;
  }
}

void FaceTracker::Correct(Track* track, const Place& place, double score, int64_t pts_ns) {
  const double elapsed = Seconds(pts_ns - track->detected_pts_ns);
  const Pair expected = Moved(track->place.center, track->velocity, elapsed);
  double gain = 1 - std::pow(1 - kVelocityGain, std::max(elapsed / kTickSeconds, 1.0));
  if (track->hits == 1) gain = kFirstGain;  // nothing is known of the velocity yet
  const Pair residual{place.center.x - expected.x, place.center.y - expected.y};
  track->velocity = Moved(track->velocity, residual, gain / std::max(elapsed, kLeastStepSeconds));
  ++track->hits;
  const double waited = Seconds(pts_ns - track->first_pts_ns);
  track->peak = std::max(track->peak, score);
  const bool lasting = track->hits >= kConfirmingHits || waited >= kConfirmingSeconds;
  track->confirmed = track->confirmed || (lasting && track->peak >= kConfirmingScore);
  track->shown = track->confirmed ? Smooth(track->shown, place, elapsed) : place;
  track->place = place, track->score = score, track->detected_pts_ns = pts_ns;
}

// The box shown: follows at once what moves or grows, averages what only trembles.
FaceTracker::Place FaceTracker::Smooth(const Place& shown, const Place& measured, double elapsed) {
  const double scale = std::sqrt(measured.size.x * measured.size.y);
  const Pair moved{measured.center.x - shown.center.x, measured.center.y - shown.center.y};
  const Pair grown{measured.size.x - shown.size.x, measured.size.y - shown.size.y};
  const double changes[2] = {std::sqrt(moved.x * moved.x + moved.y * moved.y) / scale,
                             std::max(std::fabs(grown.x), std::fabs(grown.y)) / scale};
  double weights[2];
  for (int i = 0; i < 2; ++i) {
    const double still = std::min(0.3 + 8 * std::max(changes[i] - 0.01, 0.0), 1.0);
    weights[i] = 1 - std::pow(1 - still, std::max(elapsed / kTickSeconds, 1.0));
  }
  return {Moved(shown.center, moved, weights[0]), Moved(shown.size, grown, weights[1])};
}

double FaceTracker::Weight(const Track& track, int64_t pts_ns) {
  const double age = std::min(Seconds(pts_ns - track.first_pts_ns), kAgeLimitSeconds);
  return track.place.size.x * track.place.size.y * (0.5 + age);
}

void FaceTracker::Rank(int64_t pts_ns) {
  ranked_.clear();
  for (const Track& track : tracks_) {
    if (IsUsable(track, pts_ns)) ranked_.push_back(&track);
  }
  if (ranked_.empty()) return;
  std::sort(ranked_.begin(), ranked_.end(), [&](const Track* a, const Track* b) {
    const double weight_a = Weight(*a, pts_ns), weight_b = Weight(*b, pts_ns);
    return weight_a > weight_b || (weight_a == weight_b && a->id < b->id);
  });
  auto best = ranked_.begin();
  const auto held =
      std::find_if(ranked_.begin(), ranked_.end(), [&](const Track* track) { return track->id == primary_id_; });
  if (held != ranked_.end() && Weight(**best, pts_ns) <= kPrimaryHysteresis * Weight(**held, pts_ns)) best = held;
  primary_id_ = (*best)->id;
  std::rotate(ranked_.begin(), best, best + 1);
}

FaceTracker::Pair FaceTracker::Moved(Pair start, Pair direction, double amount) {
  return {start.x + direction.x * amount, start.y + direction.y * amount};
}

FaceTracker::Place FaceTracker::PlaceOf(const FaceBox& box) {
  return {{(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2},
          {std::max(box.x1 - box.x0, kLeastSide), std::max(box.y1 - box.y0, kLeastSide)}};
}

// Distance in sizes + lost overlap + change of size between track and box; empty outside the gate.
std::optional<double> FaceTracker::Cost(const Track& track, const Place& place, int64_t pts_ns) {
  const double unseen = Seconds(pts_ns - track.detected_pts_ns);
  const Pair expected = Moved(track.place.center, track.velocity, unseen);
  const double size_a = std::sqrt(track.place.size.x * track.place.size.y),
               size_b = std::sqrt(place.size.x * place.size.y);
  const Pair apart{expected.x - place.center.x, expected.y - place.center.y};
  const double distance = std::sqrt(apart.x * apart.x + apart.y * apart.y) / std::min(size_a, size_b);
  const double change = std::fabs(std::log(size_a / size_b));
  const double overlap = Overlap({expected, track.place.size}, place);
  const bool far = distance > kGateDistance + kGateGrowth * unseen;
  if ((far && overlap < 0.1) || change > kLogTwo) return std::nullopt;
  return distance + (1 - overlap) + change;
}

double FaceTracker::Overlap(const Place& a, const Place& b) {
  const auto shared = [](double center_a, double size_a, double center_b, double size_b) {
    const double end = std::min(center_a + size_a / 2, center_b + size_b / 2);
    const double start = std::max(center_a - size_a / 2, center_b - size_b / 2);
    return std::max(end - start, 0.0);
  };
  const double inter =
      shared(a.center.x, a.size.x, b.center.x, b.size.x) * shared(a.center.y, a.size.y, b.center.y, b.size.y);
  return inter / std::max(a.size.x * a.size.y + b.size.x * b.size.y - inter, 1e-9);
}

}  // namespace edgeaff
