// See decode_maps.h.
#include "vision/decode_maps.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace edgeaff {
namespace {

constexpr float kLogSizeLimit = 4.0f;
constexpr float kLargestCoordinate = 1e5f;  // in the network's pixels

struct Candidate {
  float logit;
  int map, cell;
};

std::vector<Candidate> Candidates(const DetectorMap* maps, int count, const DecodeRules& rules, bool* any) {
  std::vector<Candidate> found;
  *any = false;
  for (int m = 0; m < count; ++m) {
    const int cells = maps[m].rows * maps[m].columns;
    for (int i = 0; i < cells; ++i) {
      const float logit = maps[m].data[i * maps[m].cell_step];
      if (!(logit > rules.score_limit - rules.vote_margin)) continue;
      found.push_back({logit, m, i});
      *any = *any || logit > rules.score_limit;
    }
  }
  if (static_cast<int>(found.size()) > rules.most_candidates) {
    std::stable_sort(found.begin(), found.end(),
                     [](const Candidate& a, const Candidate& b) { return a.logit > b.logit; });
    found.resize(static_cast<size_t>(rules.most_candidates));
  }
  return found;
}

DecodedFace Decode(const DetectorMap& map, const Candidate& candidate) {
  const ptrdiff_t plane = map.value_step;
  const float* value = map.data + candidate.cell * map.cell_step;
  const float stride = static_cast<float>(map.stride);
  const float x = (static_cast<float>(candidate.cell % map.columns) + 0.5f) * stride;
  const float y = (static_cast<float>(candidate.cell / map.columns) + 0.5f) * stride;
  const auto half = [&](int k) {
    return std::exp(std::min(std::max(value[k * plane], -kLogSizeLimit), kLogSizeLimit)) * (stride / 2);
  };
  const float center_x = x + value[plane] * stride, center_y = y + value[2 * plane] * stride;
  const float half_width = half(3), half_height = half(4);
  DecodedFace face{{center_x - half_width, center_y - half_height, center_x + half_width, center_y + half_height},
                   1.0f / (1.0f + std::exp(-candidate.logit)),
                   {}};
  for (int k = 0; k < 2 * kFacePoints; ++k) face.points[k] = value[(5 + k) * plane] * stride + (k % 2 == 0 ? x : y);
  return face;
}

// Neither NaN nor beyond what a crop may have.
bool IsUsable(const DecodedFace& face) {
  bool usable = true;
  for (const float value : face.box) usable = usable && std::fabs(value) <= kLargestCoordinate;
  for (const float value : face.points) usable = usable && std::fabs(value) <= kLargestCoordinate;
  return usable;
}

float Area(const float* box) { return std::max(box[2] - box[0], 0.0f) * std::max(box[3] - box[1], 0.0f); }

float Iou(const float* a, const float* b) {
  const float width = std::min(a[2], b[2]) - std::max(a[0], b[0]), height = std::min(a[3], b[3]) - std::max(a[1], b[1]);
  const float inter = std::max(width, 0.0f) * std::max(height, 0.0f);
  return inter / std::max(Area(a) + Area(b) - inter, 1e-9f);
}

// The indices kept by greedy suppression of faces sorted by score.
std::vector<size_t> Suppress(const std::vector<DecodedFace>& faces, float limit) {
  std::vector<size_t> kept;
  std::vector<char> dropped(faces.size(), 0);
  for (size_t i = 0; i < faces.size(); ++i) {
    if (dropped[i]) continue;
    kept.push_back(i);
    for (size_t j = i + 1; j < faces.size(); ++j) {
      if (!dropped[j] && !(Iou(faces[i].box, faces[j].box) <= limit)) dropped[j] = 1;
    }
  }
  return kept;
}

// The kept face with box and points averaged over all candidates that overlap it enough, weighted by squared score.
DecodedFace Vote(const std::vector<DecodedFace>& faces, const DecodedFace& kept, float vote_iou) {
  double total = 0.0, box[4] = {}, points[2 * kFacePoints] = {};
  for (const DecodedFace& face : faces) {
    if (&face != &kept && Iou(kept.box, face.box) < vote_iou) continue;
    const double weight = static_cast<double>(face.score) * face.score;
    total += weight;
    for (int k = 0; k < 4; ++k) box[k] += weight * face.box[k];
    for (int k = 0; k < 2 * kFacePoints; ++k) points[k] += weight * face.points[k];
  }
  DecodedFace voted{{}, kept.score, {}};
  for (int k = 0; k < 4; ++k) voted.box[k] = static_cast<float>(box[k] / total);
  for (int k = 0; k < 2 * kFacePoints; ++k) voted.points[k] = static_cast<float>(points[k] / total);
  return voted;
}

}  // namespace

std::vector<DecodedFace> DecodeMaps(const DetectorMap* maps, int count, const DecodeRules& rules) {
  bool any;
  const std::vector<Candidate> found = Candidates(maps, count, rules, &any);
  if (!any) return {};
  std::vector<DecodedFace> faces;
  for (const Candidate& candidate : found) {
    const DecodedFace face = Decode(maps[candidate.map], candidate);
    if (IsUsable(face)) faces.push_back(face);
  }
  std::stable_sort(faces.begin(), faces.end(),
                   [](const DecodedFace& a, const DecodedFace& b) { return a.score > b.score; });
  std::vector<DecodedFace> voted;
  for (const size_t index : Suppress(faces, rules.suppress_iou))
    voted.push_back(Vote(faces, faces[index], rules.vote_iou));
  const float least = 1.0f / (1.0f + std::exp(-rules.score_limit));
  std::vector<DecodedFace> result;
  for (const size_t index : Suppress(voted, rules.suppress_iou)) {  // votes may have moved two boxes together
    if (voted[index].score > least) result.push_back(voted[index]);
  }
  return result;
}

}  // namespace edgeaff
