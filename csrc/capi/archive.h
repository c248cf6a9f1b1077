// Strict readers of stored zip and .npz bytes: every size is checked before anything is read. Twin: edgeaff/parsing/archives.py.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace edgeaff {

struct Bytes {
  const uint8_t* data = nullptr;
  size_t size = 0;
};

// name -> content of the members, views into `data`. Throws Refused: a member that is compressed, encrypted, twice or over
// another one; a comment; zip64; bytes behind the directory.
std::unordered_map<std::string, Bytes> ReadZip(Bytes data, size_t most_members);

// An array of an .npy member: rows first, little-endian. Its data is a view and may lie unaligned.
struct Array {
  char kind = 0;  // 'f', 'i' or 'u'
  int item = 0;   // bytes of a number
  std::vector<int64_t> shape;
  Bytes data;
  int64_t count() const;
};

// name -> array of an .npz member. Throws Refused: an array in another order, of another type or another size than it states.
std::unordered_map<std::string, Array> ReadNpz(Bytes data);

}  // namespace edgeaff
