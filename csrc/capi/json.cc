#include "capi/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <utility>

#include "capi/refused.h"

namespace edgeaff {
namespace {

constexpr size_t kMostBytes = 1 << 22, kMostItems = 200'000;
constexpr int kMostDepth = 32;

}  // namespace

class JsonParser {
 public:
  explicit JsonParser(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}

  Json Whole() {
    Json value = Value(0);
    Skip();
    if (at_ != end_) throw Refused("JSON with text behind it");
    return value;
  }

 private:
  void Skip() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }

  char Next() {
    if (at_ == end_) throw Refused("JSON that is cut off");
    return *at_++;
  }

  void Expect(std::string_view word) {
    if (static_cast<size_t>(end_ - at_) < word.size() || std::string_view(at_, word.size()) != word)
      throw Refused("JSON that is damaged");
    at_ += word.size();
  }

  Json Value(int depth) {
    if (depth > kMostDepth || ++items_ > kMostItems) throw Refused("JSON with too many or too deep values");
    Skip();
    if (at_ == end_) throw Refused("JSON that is cut off");
    Json value;
    switch (*at_) {
      case '{': return Object(depth);
      case '[': return List(depth);
      case '"':
        value.kind_ = Json::Kind::kText;
        value.text_ = Text();
        return value;
      case 't': Expect("true"), value.kind_ = Json::Kind::kTrue; return value;
      case 'f': Expect("false"), value.kind_ = Json::Kind::kFalse; return value;
      case 'n': Expect("null"); return value;
      default: return Number();
    }
  }

  Json Object(int depth) {
    Json value;
    value.kind_ = Json::Kind::kObject;
    ++at_;
    Skip();
    if (at_ != end_ && *at_ == '}') return ++at_, value;
    while (true) {
      Skip();
      if (at_ == end_ || *at_ != '"') throw Refused("JSON with a key that is no text");
      std::string key = Text();
      if (std::find(value.keys_.begin(), value.keys_.end(), key) != value.keys_.end())
        throw Refused("JSON with a key twice");
      Skip();
      Expect(":");
      value.keys_.push_back(std::move(key));
      value.items_.push_back(Value(depth + 1));
      Skip();
      const char after = Next();
      if (after == '}') return value;
      if (after != ',') throw Refused("JSON that is damaged");
    }
  }

  Json List(int depth) {
    Json value;
    value.kind_ = Json::Kind::kList;
    ++at_;
    Skip();
    if (at_ != end_ && *at_ == ']') return ++at_, value;
    while (true) {
      value.items_.push_back(Value(depth + 1));
      Skip();
      const char after = Next();
      if (after == ']') return value;
      if (after != ',') throw Refused("JSON that is damaged");
    }
  }

  Json Number() {
    Json value;
    value.kind_ = Json::Kind::kNumber;
    const char* const digit = *at_ == '-' ? at_ + 1 : at_;
    if (digit == end_ || *digit < '0' || *digit > '9') throw Refused("JSON that is damaged");
    const auto [after, error] = std::from_chars(at_, end_, value.number_);
    if (error != std::errc() || !std::isfinite(value.number_)) throw Refused("a JSON number out of range");
    at_ = after;
    return value;
  }

  unsigned Hex() {
    unsigned code = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = Next();
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) throw Refused("JSON with a damaged escape");
      code = code * 16 + static_cast<unsigned>(digit);
    }
    return code;
  }

  std::string Text() {
    std::string text;
    ++at_;
    while (true) {
      const char c = Next();
      if (c == '"') return text;
      if (static_cast<unsigned char>(c) < 0x20) throw Refused("JSON with a control character");
      if (c != '\\') {
        text += c;
        continue;
      }
      const char escape = Next();
      static constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
      const size_t known = kFrom.find(escape);
      if (known != std::string_view::npos) {
        text += kTo[known];
      } else if (escape == 'u') {
        const unsigned code = Hex();
        text += code < 0x80 ? static_cast<char>(code) : '?';  // no text that the library reads is beyond ASCII
      } else {
        throw Refused("JSON with a damaged escape");
      }
    }
  }

  const char* at_;
  const char* end_;
  size_t items_ = 0;
};

Json Json::Parse(std::string_view text) {
  if (text.size() > kMostBytes) throw Refused("JSON that is too long");
  return JsonParser(text).Whole();
}

double Json::Number(double low, double high) const {
  if (kind_ != Kind::kNumber || !(low <= number_ && number_ <= high))
    throw Refused("a number that is missing or out of range");
  return number_;
}

int Json::Whole(int low, int high) const {
  const double number = Number(low, high);
  if (number != std::floor(number)) throw Refused("a number that is not whole");
  return static_cast<int>(number);
}

const std::string& Json::Text() const {
  if (kind_ != Kind::kText) throw Refused("a value that is no text");
  return text_;
}

const std::vector<Json>& Json::List() const {
  if (kind_ != Kind::kList) throw Refused("a value that is no list");
  return items_;
}

const Json* Json::Find(const char* key) const {
  if (kind_ != Kind::kObject) throw Refused(std::string("no object where ") + key + " should be");
  const auto found = std::find(keys_.begin(), keys_.end(), key);
  return found == keys_.end() ? nullptr : &items_[static_cast<size_t>(found - keys_.begin())];
}

const Json& Json::At(const char* key) const {
  const Json* const found = Find(key);
  if (found == nullptr) throw Refused(std::string("no ") + key);
  return *found;
}

}  // namespace edgeaff
