#include "core/row_timeline.h"

#include <cstring>
#include <utility>

#include "core/tick_clock.h"

namespace edgeaff {
namespace {

constexpr int64_t kInitialRows = 256;  // 0.7 s are kept, and what waits for the other modality
constexpr int64_t kKeptNs = kHoldNs + 200 * kMillisecond;

}  // namespace

RowTimeline::RowTimeline(std::vector<ColumnGroup> groups, int width)
    : groups_(std::move(groups)),
      width_(width),
      capacity_(kInitialRows),
      rows_(kInitialRows),
      values_(static_cast<size_t>(kInitialRows) * static_cast<size_t>(width)) {}

void RowTimeline::Push(int64_t start_pts_ns, const float* lld, uint32_t masked) {
  while (end_ > first_ && rows_[Slot(end_ - 1)].start_ns >= start_pts_ns) --end_;
  if (end_ - first_ == capacity_) Grow();
  const size_t slot = Slot(end_++);
  rows_[slot] = {start_pts_ns, count_++, masked};
  std::memcpy(&values_[slot * static_cast<size_t>(width_)], lld, static_cast<size_t>(width_) * sizeof(float));
}

std::optional<RowStep> RowTimeline::Select(int64_t instant_ns, float* lld) const {
  std::optional<RowStep> newest;
  for (size_t group = 0; group < groups_.size(); ++group) {
    const int64_t found = Newest(instant_ns - groups_[group].center_ns, group);
    if (found < 0) return std::nullopt;
    const Row& row = rows_[Slot(found)];
    const float* values = &values_[Slot(found) * static_cast<size_t>(width_)];
    for (const int column : groups_[group].columns) lld[column] = values[column];
    const RowStep reached{row.start_ns + groups_[group].center_ns, row.number};
    const bool later = !newest || reached.center_ns > newest->center_ns ||
                       (reached.center_ns == newest->center_ns && reached.row > newest->row);
    if (later) newest = reached;
  }
  return newest;
}

void RowTimeline::ForgetBefore(int64_t instant_ns) {
  const int64_t horizon = instant_ns - kKeptNs;
  while (first_ < end_ && rows_[Slot(first_)].start_ns < horizon) ++first_;
}

void RowTimeline::Grow() {
  const int64_t capacity = 2 * capacity_;
  std::vector<Row> rows(static_cast<size_t>(capacity));
  std::vector<float> values(static_cast<size_t>(capacity) * static_cast<size_t>(width_));
  for (int64_t i = first_; i < end_; ++i) {
    const size_t to = static_cast<size_t>(i & (capacity - 1));
    rows[to] = rows_[Slot(i)];
    std::memcpy(&values[to * static_cast<size_t>(width_)], &values_[Slot(i) * static_cast<size_t>(width_)],
                static_cast<size_t>(width_) * sizeof(float));
  }
  rows_.swap(rows);
  values_.swap(values);
  capacity_ = capacity;
}

// The newest row unmasked for a group that starts below start_ns + 5 ms, at most kHoldNs before start_ns.
int64_t RowTimeline::Newest(int64_t start_ns, size_t group) const {
  int64_t low = first_, high = end_;  // the first row at or after start_ns + 5 ms
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (rows_[Slot(middle)].start_ns < start_ns + kHopNs / 2) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  for (int64_t index = low - 1; index >= first_; --index) {
    const Row& row = rows_[Slot(index)];
    if (row.start_ns < start_ns - kHoldNs) return -1;
    if ((row.masked >> group & 1u) == 0) return index;
  }
  return -1;
}

}  // namespace edgeaff
