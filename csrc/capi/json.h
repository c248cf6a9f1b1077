// Strict, bounded JSON: no duplicate keys, no NaN, limits of size, count and depth. Twin: edgeaff/parsing/json_text.py.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace edgeaff {

// Throws Refused (capi/refused.h) where a value has another type, or is missing.
class Json {
 public:
  enum class Kind { kNull, kFalse, kTrue, kNumber, kText, kList, kObject };

  // Throws Refused.
  static Json Parse(std::string_view text);

  Kind kind() const { return kind_; }
  double Number(double low, double high) const;
  int Whole(int low, int high) const;
  const std::string& Text() const;
  const std::vector<Json>& List() const;
  const Json& At(const char* key) const;
  const Json* Find(const char* key) const;  // null without it

 private:
  friend class JsonParser;

  Kind kind_ = Kind::kNull;
  double number_ = 0;
  std::string text_;
  std::vector<std::string> keys_;  // of an object, beside items_
  std::vector<Json> items_;
};

}  // namespace edgeaff
