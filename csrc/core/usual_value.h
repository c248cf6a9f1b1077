// What is usual for one subject in one dimension: a running median and spread. Twin: edgeaff/people/usual.py, which explains the rule.
#pragma once
#include <optional>
#include <vector>

namespace edgeaff {

class UsualValue {
 public:
  static constexpr int kBins = 64;

  // Counts one value, cut to [-1, 1].
  void Push(double value);

  // Returns the value against what is usual; empty in the first kWarmupSeconds of evidence.
  std::optional<double> Relative(double value) const;

  // The level and the spread that values are compared with, and the evidence behind them.
  double Center() const;
  double Scale() const;
  double Seconds() const;

  // The whole state: weight of each of kBins equal parts of [-1, 1].
  std::vector<double> Weights() const { return {weights_, weights_ + kBins}; }
  void Restore(const std::vector<double>& weights);

 private:
  double Total() const;
  double Quantile(double share, double total) const;

  double weights_[kBins] = {};
};

}  // namespace edgeaff
