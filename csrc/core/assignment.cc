#include "core/assignment.h"

#include <algorithm>
#include <cstddef>
#include <limits>

namespace edgeaff {

const std::vector<std::pair<int, int>>& Assigner::Assign(const double* cost, int rows, int columns) {
  const bool turned = rows > columns;
  cost_.resize(static_cast<size_t>(rows) * static_cast<size_t>(columns));
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) {
      cost_[static_cast<size_t>(turned ? column * rows + row : row * columns + column)] = cost[row * columns + column];
    }
  }
  Solve(std::min(rows, columns), std::max(rows, columns));
  pairs_.clear();
  for (size_t column = 1; column < owner_.size(); ++column) {
    if (owner_[column] == 0) continue;
    const int one = owner_[column] - 1, other = static_cast<int>(column) - 1;
    pairs_.emplace_back(turned ? other : one, turned ? one : other);
  }
  std::sort(pairs_.begin(), pairs_.end());
  return pairs_;
}

// Rows and columns count from 1; owner_[column] is the row that holds it, 0 = free.
void Assigner::Solve(int rows, int columns) {
  const size_t n = static_cast<size_t>(columns) + 1;
  row_potential_.assign(static_cast<size_t>(rows) + 1, 0.0);
  column_potential_.assign(n, 0.0);
  owner_.assign(n, 0);
  for (int row = 1; row <= rows; ++row) {
    owner_[0] = row;
    size_t column = 0;
    reach_.assign(n, std::numeric_limits<double>::infinity());
    parent_.assign(n, 0);
    seen_.assign(n, 0);
    while (owner_[column] != 0) {
      seen_[column] = 1;
      const size_t holder = static_cast<size_t>(owner_[column]);
      const double* costs = &cost_[(holder - 1) * static_cast<size_t>(columns)];
      size_t following = 0;
      for (size_t j = 1; j < n; ++j) {
        if (seen_[j]) continue;
        const double slack = costs[j - 1] - row_potential_[holder] - column_potential_[j];
        if (slack < reach_[j]) {
          reach_[j] = slack;
          parent_[j] = static_cast<int>(column);
        }
        if (following == 0 || reach_[j] < reach_[following]) following = j;
      }
      const double step = reach_[following];
      for (size_t j = 0; j < n; ++j) {
        if (seen_[j]) {
          row_potential_[static_cast<size_t>(owner_[j])] += step;
          column_potential_[j] -= step;
        } else {
          reach_[j] -= step;
        }
      }
      column = following;
    }
    while (column != 0) {
      const size_t before = static_cast<size_t>(parent_[column]);
      owner_[column] = owner_[before];
      column = before;
    }
  }
}

}  // namespace edgeaff
