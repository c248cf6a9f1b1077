// The pairing of rows and columns with the lowest total cost (Hungarian method with potentials, O(n^3)).
// Twin: edgeaff/detection/assignment.py.
#pragma once
#include <utility>
#include <vector>

namespace edgeaff {

class Assigner {
 public:
  // cost: (rows, columns), finite. Gives the pairs (row, column) of the cheapest complete assignment of the shorter side, by row;
  // valid until the next call. Memory is kept between calls.
  const std::vector<std::pair<int, int>>& Assign(const double* cost, int rows, int columns);

 private:
  void Solve(int rows, int columns);

  std::vector<double> cost_;  // (rows, columns), rows <= columns
  std::vector<double> row_potential_, column_potential_, reach_;
  std::vector<int> owner_, parent_;
  std::vector<char> seen_;
  std::vector<std::pair<int, int>> pairs_;
};

}  // namespace edgeaff
