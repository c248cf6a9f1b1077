// LLD rows with their times; gives, per column group, the row whose window center is nearest to an instant.
// Twin: RowTimeline in edgeaff/reference/sync.py.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace edgeaff {

// Columns that share one analysis window. Offsets from the start of the row, nanoseconds.
struct ColumnGroup {
  std::vector<int> columns;
  int64_t center_ns, window_ns;
};

// What one tick takes from the audio beside the row itself. center_ns: of its newest column group; row: number of its newest row.
struct RowStep {
  int64_t center_ns, row;
};

// A row that touches a hole is masked. An instant without an unmasked row at most kHoldNs before it has no audio. Starts rise: a
// stream that begins before the end of the one before it (a change of rate) replaces the rows that it overlaps. Rows live in a
// ring, which grows only while more rows wait than ever before.
class RowTimeline {
 public:
  // columns: 0 to width - 1, each in one group; at most 32 groups.
  RowTimeline(std::vector<ColumnGroup> groups, int width);

  // Appends one final row of `width` values. masked: bit g set where group g is masked.
  void Push(int64_t start_pts_ns, const float* lld, uint32_t masked);

  // Writes the step at an instant to `lld` (width); empty when audio is missing there, then `lld` is undefined.
  //
  // Per column group it takes the row with the greatest center below instant + 5 ms: on the 10 ms grid the nearest, the earlier
  // one on a tie; in a hole the newest unmasked row before it.
  std::optional<RowStep> Select(int64_t instant_ns, float* lld) const;

  // Drops rows that no instant from here on can take.
  void ForgetBefore(int64_t instant_ns);

  int width() const { return width_; }
  const std::vector<ColumnGroup>& groups() const { return groups_; }

 private:
  struct Row {
    int64_t start_ns = 0, number = 0;
    uint32_t masked = 0;
  };

  size_t Slot(int64_t index) const { return static_cast<size_t>(index & (capacity_ - 1)); }
  void Grow();
  int64_t Newest(int64_t start_ns, size_t group) const;  // index, -1 for none

  std::vector<ColumnGroup> groups_;
  int width_;
  int64_t capacity_, first_ = 0, end_ = 0, count_ = 0;  // indices never wrap; capacity is a power of two
  std::vector<Row> rows_;
  std::vector<float> values_;  // (capacity, width)
};

}  // namespace edgeaff
