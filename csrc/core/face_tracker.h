// Gives faces an identity over time, between and through detections. Twin: edgeaff/detection/tracker.py.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "core/assignment.h"
#include "vision/thumbnail.h"

namespace edgeaff {

// A box in pixels of the image, half-open; may reach outside the image.
struct FaceBox {
  double x0, y0, x1, y1;
};

struct FaceDetection {
  FaceBox box;
  double score;  // in [0, 1]
};

// Whether box and score are those of a face: finite, at most 1e5 pixels out, x1 > x0, y1 > y0, the score in [0, 1].
bool IsFace(const FaceBox& box, double score);

// A face with the identity that the tracker gave it. box: smoothed; score and detected_pts_ns: of its last detection.
struct TrackedFace {
  int64_t track_id;
  FaceBox box;
  double score;
  int64_t detected_pts_ns;
};

// A track predicts its box with constant velocity, is matched to detections by overlap and distance (cheapest pairing), and lives
// on for a while without any. All times are pts; frame counts play no part. Not thread-safe. Memory grows with the faces.
class FaceTracker {
 public:
  // max_faces >= 1: most faces that Update gives, all are followed; staleness_ns > 0: how long a confirmed track counts after its
  // last detection.
  FaceTracker(int max_faces, int64_t staleness_ns);

  // Forgets all tracks; identities count on.
  void Reset();

  // Gives the usable faces of one more frame, the primary one first, then by weight (area x age); valid until the next call.
  // Usable is what was detected at most staleness_ns ago and is confirmed, or was strong the last time that the detector ran.
  //   pts_ns: above that of the call before.
  //   thumbnail: (32, 32) sums of GraySums, to notice shot cuts; null where there is no image.
  //   detections: of this frame; null when the detector did not run on it.
  const std::vector<TrackedFace>& Update(int64_t pts_ns, const int32_t* thumbnail,
                                         const std::vector<FaceDetection>* detections);

  std::optional<int64_t> pts_ns() const { return pts_ns_; }  // of the last frame
  int64_t cuts() const { return cuts_; }                     // shot cuts so far

 private:
  struct Pair {
    double x, y;
  };
  struct Place {
    Pair center, size;
  };
  // place: last measured; velocity: pixels per second; shown: smoothed.
  struct Track {
    int64_t id, first_pts_ns, detected_pts_ns;
    Place place, shown;
    double score, peak;
    Pair velocity;
    int hits;
    bool confirmed;
  };

  static Pair Moved(Pair start, Pair direction, double amount);
  static Place PlaceOf(const FaceBox& box);
  static double Overlap(const Place& a, const Place& b);
  static Place Smooth(const Place& shown, const Place& measured, double elapsed);
  static double Weight(const Track& track, int64_t pts_ns);
  static std::optional<double> Cost(const Track& track, const Place& place, int64_t pts_ns);
  static void Correct(Track* track, const Place& place, double score, int64_t pts_ns);

  bool IsCut(const int32_t* thumbnail);
  bool IsUsable(const Track& track, int64_t pts_ns) const;
  void Match(int64_t pts_ns, const std::vector<FaceDetection>& detections);
  void MatchGroup(bool confirmed, int64_t pts_ns, const std::vector<FaceDetection>& detections);
  void Rank(int64_t pts_ns);

  int max_faces_;
  int64_t staleness_ns_, next_id_ = 0, cuts_ = 0;
  std::vector<Track> tracks_;
  std::optional<int64_t> primary_id_, pts_ns_, searched_pts_ns_;
  bool has_thumbnail_ = false;
  int32_t thumbnail_[kThumbnailSize * kThumbnailSize];

  // Room that is used again.
  Assigner assigner_;
  std::vector<Place> places_;
  std::vector<int> group_, rest_;
  std::vector<char> free_;
  std::vector<double> costs_;
  std::vector<const Track*> ranked_;
  std::vector<TrackedFace> faces_;
};

}  // namespace edgeaff
