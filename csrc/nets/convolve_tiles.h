// Walks a block in tiles of P pixels by N groups of 16 outputs; included by convolve_*.cc alone, once per instruction
// set.
//
// A class V describes the instruction set:
//   Sums<N, P>                                P x N groups of 16 int32 sums, held in registers
//   kMostGroups, kMostPixels[N - 1]           tile sizes that fit the registers, for kBytes
//   kImagePixels, kMapPixels                  the same for the other forms
//   Start<N, P>(sums, start)
//   Row<N, P>(sums, run, step, bytes, w)      adds a run of `bytes` (a multiple of 16); returns the weights behind it
//   Bytes<N, P>(sums, tile, run, w)           adds the last 16 bytes of the last run, then rounds and stores
//   Image<P>(sums, tile), Map<P>(sums, tile)  the other forms, after all runs
#pragma once
#include <algorithm>
#include <utility>

#include "nets/convolve.h"

#define EDGEAFF_INLINE inline __attribute__((always_inline))
// Runs a block with i = 0 .. N - 1 as compile-time constants, so that arrays indexed by i stay in registers. GCC 12
// unrolls plain loops too late for that: sums in memory halve the speed.
#define EDGEAFF_FOR(i, N, ...) \
  ForAll([&](auto i) __attribute__((always_inline)) __VA_ARGS__, std::make_integer_sequence<int, N> {})

namespace edgeaff::nets {
namespace {

template <class F, int... I>
EDGEAFF_INLINE void ForAll(F&& f, std::integer_sequence<int, I...>) {
  (f(std::integral_constant<int, I>{}), ...);
}

// Position of a tile: the fields of Block, moved to its first pixel.
struct Tile {
  const Block* block;
  const uint8_t* in;
  uint8_t* out;
  const uint8_t* second;
};

template <class V, Form kForm, int N, int P>
__attribute__((noinline)) void RunTile(const Tile& tile) {
  const Block& block = *tile.block;
  typename V::template Sums<N, P> sums;
  V::template Start<N, P>(sums, block.start);
  const uint8_t* run = tile.in;
  const int8_t* weights = block.weights;
  for (int row = 1; row < block.kernel_rows; ++row, run += block.tap_row) {
    weights = V::template Row<N, P>(sums, run, block.in_pixel, block.run_bytes, weights);
  }
  if constexpr (kForm == Form::kBytes) {
    const int most = block.run_bytes - kRunMultiple;
    weights = V::template Row<N, P>(sums, run, block.in_pixel, most, weights);
    V::template Bytes<N, P>(sums, tile, run + most, weights);
  } else {
    V::template Row<N, P>(sums, run, block.in_pixel, block.run_bytes, weights);
    if constexpr (kForm == Form::kImage)
      V::template Image<P>(sums, tile);
    else
      V::template Map<P>(sums, tile);
  }
}

using TileFunction = void (*)(const Tile& tile);

constexpr int kTileWidths[] = {1, 2, 3, 4, 6, 8, 12, 16};
constexpr int kMostTileWidth = 16;

// The width of the next tile of a row with `left` pixels, such that the tiles are nearly equal: 12 pixels are 6 + 6,
// not 8 + 4. even: a second operand has half the resolution, so a tile of several pixels must begin at an even one.
inline int TileWidth(int left, int most, bool even) {
  const int count = (left + most - 1) / most, equal = (left + count - 1) / count;
  int fitting = 1;
  for (const int width : kTileWidths) {
    if (width > std::min(most, left) || (even && width % 2 != 0 && width != left)) continue;
    fitting = width;
    if (width >= equal) break;
  }
  return fitting;
}

template <class V, Form kForm, int N, int kMost>
void RunRows(const Block& block) {
  constexpr auto kAt = [](int width) { return std::min(width, kMost); };  // wider tiles are never asked for
  static const TileFunction tiles[kMostTileWidth + 1] = {nullptr,
                                                         RunTile<V, kForm, N, 1>,
                                                         RunTile<V, kForm, N, kAt(2)>,
                                                         RunTile<V, kForm, N, kAt(3)>,
                                                         RunTile<V, kForm, N, kAt(4)>,
                                                         nullptr,
                                                         RunTile<V, kForm, N, kAt(6)>,
                                                         nullptr,
                                                         RunTile<V, kForm, N, kAt(8)>,
                                                         nullptr,
                                                         nullptr,
                                                         nullptr,
                                                         RunTile<V, kForm, N, kAt(12)>,
                                                         nullptr,
                                                         nullptr,
                                                         nullptr,
                                                         RunTile<V, kForm, N, kAt(16)>};
  const Second& second = block.second;
  for (int y = 0; y < block.rows; ++y) {
    Tile tile{&block, block.in + y * block.in_row, block.out + y * block.out_row, nullptr};
    for (int x = 0; x < block.columns;) {
      if (second.data != nullptr)
        tile.second = second.data + (y >> second.shift) * second.row + (x >> second.shift) * second.pixel;
      const int width = TileWidth(block.columns - x, kMost, second.shift != 0);
      tiles[width](tile);
      tile.in += width * block.in_pixel;
      tile.out += width * block.out_pixel;
      x += width;
    }
  }
}

template <class V, int N>
void RunGroups(const Block& block) {
  if constexpr (N > V::kMostGroups)
    return;
  else if (block.groups == N)
    RunRows<V, Form::kBytes, N, V::kMostPixels[N - 1]>(block);
  else
    RunGroups<V, N + 1>(block);
}

template <class V>
void RunBlock(const Block& block) {
  switch (block.form) {
    case Form::kBytes: return RunGroups<V, 1>(block);
    case Form::kImage: return RunRows<V, Form::kImage, 2, V::kImagePixels>(block);
    case Form::kMap: return RunRows<V, Form::kMap, 3, V::kMapPixels>(block);
  }
}

}  // namespace
}  // namespace edgeaff::nets
