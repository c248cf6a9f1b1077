#include "capi/archive.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "capi/refused.h"

namespace edgeaff {
namespace {

constexpr size_t kEndSize = 22, kEntrySize = 46, kLocalSize = 30;
constexpr size_t kMostArrays = 1024, kMostName = 128, kMostHeader = 1024, kMostAxes = 8;
constexpr uint32_t kEndMagic = 0x06054b50, kEntryMagic = 0x02014b50, kLocalMagic = 0x04034b50;
constexpr uint32_t kPlainFlags = 0x800 | 0x006;
constexpr int64_t kMostCount = int64_t{1} << 40;

// Numbers of a zip archive; the caller has checked that they lie inside.
uint32_t Two(const uint8_t* at) { return at[0] | static_cast<uint32_t>(at[1]) << 8; }
uint32_t Four(const uint8_t* at) { return Two(at) | Two(at + 2) << 16; }

bool IsName(std::string_view name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); };
  if (name.empty() || name.size() > kMostName || !letter(name[0])) return false;
  return std::all_of(name.begin(), name.end(),
                     [&](char c) { return letter(c) || c == '.' || c == '_' || c == ':' || c == '-'; });
}

// Where the content of a member begins, after its local header was compared with the directory.
size_t ContentStart(Bytes data, std::string_view name, size_t offset) {
  if (offset > data.size || data.size - offset < kLocalSize) throw Refused("a member beyond the end of the archive");
  const uint8_t* const local = data.data + offset;
  const size_t name_size = Two(local + 26), start = offset + kLocalSize + name_size + Two(local + 28);
  const bool good = Four(local) == kLocalMagic && (Two(local + 6) & ~kPlainFlags) == 0 && name_size == name.size() &&
                    start <= data.size && std::memcmp(local + kLocalSize, name.data(), name_size) == 0;
  if (!good) throw Refused("a member with another local header");
  return start;
}

// The value of a key of an .npy header, which looks like {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
std::string_view After(std::string_view header, std::string_view key) {
  const size_t at = header.find(key);
  if (at == std::string_view::npos) throw Refused("an array with a header that is not understood");
  return header.substr(at + key.size());
}

std::vector<int64_t> ShapeOf(std::string_view text) {
  std::vector<int64_t> shape;
  int64_t count = 1;
  size_t at = 0;
  while (at < text.size() && text[at] != ')') {
    if (text[at] == ',' || text[at] == ' ') {
      ++at;
      continue;
    }
    int64_t size = 0;
    const size_t start = at;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9' && at - start < 12; ++at)
      size = 10 * size + (text[at] - '0');
    if (at == start || shape.size() == kMostAxes) throw Refused("an array with a shape that is not understood");
    if (size > kMostCount || (size > 0 && count > kMostCount / size)) throw Refused("an array that is too large");
    count *= size;
    shape.push_back(size);
  }
  if (at == text.size()) throw Refused("an array with a shape that is not understood");
  return shape;
}

Array ReadNpy(Bytes data) {
  static constexpr char kMagic[] = "\x93NUMPY";
  if (data.size < 12 || std::memcmp(data.data, kMagic, 6) != 0 || data.data[6] < 1 || data.data[6] > 3)
    throw Refused("a member that is no .npy array");
  const bool wide = data.data[6] != 1;
  const size_t length = wide ? Four(data.data + 8) : Two(data.data + 8), start = (wide ? 12 : 10) + length;
  if (length > kMostHeader || start > data.size) throw Refused("an array with a header that is not understood");
  const std::string_view header(reinterpret_cast<const char*>(data.data) + start - length, length);
  const std::string_view type = After(header, "'descr': '");
  After(header, "'fortran_order': False");
  Array array;
  array.shape = ShapeOf(After(header, "'shape': ("));
  const bool one_byte = type.substr(0, 4) == "|i1'" || type.substr(0, 4) == "|u1'";
  if (type.size() < 4 || type[3] != '\'' ||
      !(one_byte || (type[0] == '<' && (type[1] == 'f' || type[1] == 'i' || type[1] == 'u')))) {
    throw Refused("an array of a type that is not read");
  }
  array.kind = type[1], array.item = type[2] - '0';
  if (array.item != 1 && array.item != 2 && array.item != 4 && array.item != 8)
    throw Refused("an array of a type that is not read");
  array.data = {data.data + start, data.size - start};
  if (static_cast<uint64_t>(array.count()) * static_cast<uint64_t>(array.item) != array.data.size)
    throw Refused("an array of another size than it states");
  return array;
}

}  // namespace

int64_t Array::count() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

std::unordered_map<std::string, Bytes> ReadZip(Bytes data, size_t most_members) {
  if (data.size < kEndSize || Four(data.data + data.size - kEndSize) != kEndMagic)
    throw Refused("no zip archive, or one with a comment or cut off");
  const size_t end = data.size - kEndSize;
  const uint8_t* const last = data.data + end;
  const size_t count = Two(last + 10), length = Four(last + 12);
  size_t position = Four(last + 16);
  if (Two(last + 4) != 0 || Two(last + 6) != 0 || Two(last + 8) != count || Two(last + 20) != 0 || position > end ||
      end - position != length) {
    throw Refused("a zip archive whose directory is not at its end");
  }
  if (count > most_members) throw Refused("too many members");
  std::unordered_map<std::string, Bytes> members;
  std::vector<std::pair<size_t, size_t>> taken;
  for (size_t i = 0; i < count; ++i) {
    if (end - position < kEntrySize) throw Refused("a directory that is cut off");
    const uint8_t* const entry = data.data + position;
    const size_t name_size = Two(entry + 28), entry_size = kEntrySize + name_size + Two(entry + 30) + Two(entry + 32);
    if (Four(entry) != kEntryMagic || entry_size > end - position || Two(entry + 34) != 0)
      throw Refused("a damaged directory");
    const std::string_view name(reinterpret_cast<const char*>(entry) + kEntrySize, name_size);
    if (!IsName(name)) throw Refused("a member with a name that is not taken");
    if ((Two(entry + 8) & ~kPlainFlags) != 0) throw Refused("a member with flags such as encryption");
    const size_t size = Four(entry + 20), offset = Four(entry + 42), start = ContentStart(data, name, offset);
    if (Two(entry + 10) != 0 || size != Four(entry + 24)) throw Refused("a member that is not stored plainly");
    if (size > data.size - start) throw Refused("a member beyond the end of the archive");
    if (!members.emplace(std::string(name), Bytes{data.data + start, size}).second) throw Refused("a member twice");
    taken.emplace_back(offset, start + size);
    position += entry_size;
  }
  if (position != end) throw Refused("bytes behind the directory");
  std::sort(taken.begin(), taken.end());
  for (size_t i = 1; i < taken.size(); ++i) {
    if (taken[i].first < taken[i - 1].second) throw Refused("members that lie over each other");
  }
  return members;
}

std::unordered_map<std::string, Array> ReadNpz(Bytes data) {
  std::unordered_map<std::string, Array> arrays;
  for (const auto& [name, content] : ReadZip(data, kMostArrays)) {
    const bool is_npy = name.size() > 4 && name.compare(name.size() - 4, 4, ".npy") == 0;
    arrays.emplace(is_npy ? name.substr(0, name.size() - 4) : name, ReadNpy(content));
  }
  return arrays;
}

}  // namespace edgeaff
