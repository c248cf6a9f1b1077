// fp16 and bf16 on tensor cores (mma.sync m16n8k16, sm_80 and up).
//
// A block holds two groups of warps, one per direction, of kRows = 16 queries each; both directions so run at once and are summed
// in shared memory, without atomics and in a fixed order. Keys and values of a tile lie in shared memory with rows padded by 16
// bytes, which makes every ldmatrix free of bank conflicts. They arrive by cp.async in two groups, so that the products with
// the keys start before the values are there. With kStages = 1 all keys fit one tile: softmax is one pass. With kStages = 2 tiles
// follow each other and the softmax is rescaled as the maximum grows.
//
//   lane l of a warp, g = l / 4, t = l % 4:  a[0] (g, 2t..)   a[1] (g + 8, 2t..)   a[2] (g, 2t + 8..)   a[3] (g + 8, 2t + 8..)
//                                            b0 (2t.., g)     b1 (2t + 8.., g)     c[0..1] (g, 2t..)    c[2..3] (g + 8, 2t..)
#pragma once
#include "attention_cuda.cuh"

namespace edgeaff {

template <class T, int kHeadSize, int kTileKeys, int kStageCount>
struct HalfTraits {
  using Element = T;
  static constexpr int kHead = kHeadSize;
  static constexpr int kTile = kTileKeys;  // keys per tile
  static constexpr int kStages = kStageCount;
  static constexpr int kRows = 16;              // queries per warp
  static constexpr int kPitch = kHeadSize + 8;  // elements per row in shared memory
  static constexpr int kStageElements = 2 * kTile * kPitch;
  static constexpr int kSharedBytes = 2 * kStages * kStageElements * 2;  // both directions
  static constexpr int kSumPitch = kHeadSize + 4;  // floats per row of the second direction's result
};

// Rows [tile * kTile, + kTile) of keys or values into shared memory; rows that do not exist become 0.
template <class Traits>
__device__ __forceinline__ void LoadRows(const CrossModalAttentionParams& p,
                                         const DirectionView<typename Traits::Element>& view,
                                         const typename Traits::Element* from, typename Traits::Element* to,
                                         int64_t tile, int thread, int thread_count, bool aligned) {
  using T = typename Traits::Element;
  constexpr int kChunks = Traits::kHead / 8;  // of 16 bytes
  for (int index = thread; index < Traits::kTile * kChunks; index += thread_count) {
    const int row = index / kChunks, chunk = index % kChunks * 8;
    const int64_t j = tile * Traits::kTile + row;
    const bool exists = view.Exists(p, j);
    const T* const source = from + (exists ? j : 0) * view.key_stride + chunk;
    T* const target = to + row * Traits::kPitch + chunk;
    if (aligned) {
      CopyAsync16(target, source, exists);
    } else {
      for (int e = 0; e < 8; ++e) {
        if (exists)
          target[e] = source[e];
        else
          FromFloat(0.0f, &target[e]);
      }
    }
  }
  CommitCopies();
}

template <class Traits>
struct HalfWarp {
  using T = typename Traits::Element;
  static constexpr int kScoreTiles = Traits::kTile / 8;
  static constexpr int kHeadTiles = Traits::kHead / 8;

  uint32_t query[Traits::kHead / 16][4];
  float out[kHeadTiles][4];
  float top[2], total[2];  // of rows g and g + 8

  __device__ __forceinline__ void LoadQuery(const DirectionView<T>& view, int64_t row, int64_t row_count, int lane) {
    const int g = lane / 4, t = lane % 4;
    const int64_t low = row + g, high = row + g + 8;
#pragma unroll
    for (int k = 0; k < Traits::kHead / 16; ++k) {
      const int channel = 16 * k + 2 * t;
      query[k][0] = low < row_count ? LoadPair(view.query + low * view.query_stride + channel) : 0u;
      query[k][1] = high < row_count ? LoadPair(view.query + high * view.query_stride + channel) : 0u;
      query[k][2] = low < row_count ? LoadPair(view.query + low * view.query_stride + channel + 8) : 0u;
      query[k][3] = high < row_count ? LoadPair(view.query + high * view.query_stride + channel + 8) : 0u;
    }
#pragma unroll
    for (int n = 0; n < kHeadTiles; ++n) out[n][0] = out[n][1] = out[n][2] = out[n][3] = 0.0f;
    top[0] = top[1] = MinusInfinity();
    total[0] = total[1] = 0.0f;
  }

  // scores[n] = query x keys [8 n, 8 n + 8), of which the first `limit` keys of the tile are there
  __device__ __forceinline__ void Multiply(float (&scores)[kScoreTiles][4], const T* keys, int limit, int lane) const {
#pragma unroll
    for (int n = 0; n < kScoreTiles; n += 2) {
      scores[n][0] = scores[n][1] = scores[n][2] = scores[n][3] = 0.0f;
      scores[n + 1][0] = scores[n + 1][1] = scores[n + 1][2] = scores[n + 1][3] = 0.0f;
      if (8 * n >= limit) continue;
      // matrices: keys 8n.., channels 16k..; the same keys, channels + 8; keys 8n + 8.., twice the same
      const T* const row = keys + (8 * n + lane / 16 * 8 + lane % 8) * Traits::kPitch + lane / 8 % 2 * 8;
#pragma unroll
      for (int k = 0; k < Traits::kHead / 16; ++k) {
        uint32_t b[4];
        LoadMatrices<false>(b, row + 16 * k);
        MultiplyAccumulate(scores[n], query[k], b[0], b[1], T{});
        MultiplyAccumulate(scores[n + 1], query[k], b[2], b[3], T{});
      }
    }
  }

  // scores -> unnormalized probabilities; what was summed before is rescaled to the new maximum.
  __device__ __forceinline__ void Softmax(float (&scores)[kScoreTiles][4], const TileView& tile, int row, float scale,
                                          int lane) {
    const int g = lane / 4, t = lane % 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float highest = top[half];
#pragma unroll
      for (int n = 0; n < kScoreTiles; ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& score = scores[n][2 * half + e];
          score = tile.Score(score, scale, row + g + 8 * half, 8 * n + 2 * t + e);
          highest = fmaxf(highest, score);
        }
      }
      highest = fmaxf(highest, ShuffleXor(highest, 1));
      highest = fmaxf(highest, ShuffleXor(highest, 2));
      // A row that has seen no key yet keeps everything at 0.
      const float shift = highest == MinusInfinity() ? 0.0f : highest;
      const float rescale = FastExp2(top[half] - shift);
      float sum = 0.0f;
#pragma unroll
      for (int n = 0; n < kScoreTiles; ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& score = scores[n][2 * half + e];
          score = FastExp2(score - shift);
          sum += score;
        }
      }
      sum += ShuffleXor(sum, 1);
      sum += ShuffleXor(sum, 2);
      total[half] = total[half] * rescale + sum;
      top[half] = highest;
      if (Traits::kStages > 1) {
#pragma unroll
        for (int n = 0; n < kHeadTiles; ++n) {
          out[n][2 * half] *= rescale;
          out[n][2 * half + 1] *= rescale;
        }
      }
    }
  }

  // out += probabilities x values. Two score tiles of 8 keys are one left operand of 16.
  __device__ __forceinline__ void Mix(const float (&scores)[kScoreTiles][4], const T* values, int limit, int lane) {
#pragma unroll
    for (int k = 0; k < Traits::kTile / 16; ++k) {
      if (16 * k >= limit) continue;
      const uint32_t a[4] = {Pack<T>(scores[2 * k][0], scores[2 * k][1]), Pack<T>(scores[2 * k][2], scores[2 * k][3]),
                             Pack<T>(scores[2 * k + 1][0], scores[2 * k + 1][1]),
                             Pack<T>(scores[2 * k + 1][2], scores[2 * k + 1][3])};
      // matrices: keys 16k.., channels 8n..; keys 16k + 8..; the same keys, channels + 8
      const T* const row = values + (16 * k + lane % 16) * Traits::kPitch + lane / 16 * 8;
#pragma unroll
      for (int n = 0; n < kHeadTiles; n += 2) {
        uint32_t b[4];
        LoadMatrices<true>(b, row + 8 * n);
        MultiplyAccumulate(out[n], a, b[0], b[1], T{});
        MultiplyAccumulate(out[n + 1], a, b[2], b[3], T{});
      }
    }
  }

  // weight * (attention + residual) of element e of tile n
  __device__ __forceinline__ float Result(const DirectionView<T>& view, int n, int e, int64_t row, int channel) const {
    const float sum = total[e / 2];
    float value = sum > 0.0f || sum != sum ? out[n][e] / sum : 0.0f;
    if (view.residual != nullptr) value += ToFloat(view.residual[row * view.residual_stride + channel]);
    return view.weight * value;
  }

  // The second direction hands its result over in shared memory (`sums`, of the block's rows), the first adds and writes.
  __device__ __forceinline__ void Write(const CrossModalAttentionParams& p, const DirectionView<T>& view, int direction,
                                        float* sums, int64_t batch, int64_t head, int64_t block_row, int64_t row,
                                        int lane) const {
    const int g = lane / 4, t = lane % 4;
    for (int pass = 1; pass >= 0; --pass) {
      if (direction == pass) {
#pragma unroll
        for (int n = 0; n < kHeadTiles; ++n) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const int64_t i = row + g + e / 2 * 8;
            const int channel = 8 * n + 2 * t + e % 2;
            if (i >= p.query_count) continue;
            float* const sum = sums + (i - block_row) * Traits::kSumPitch + channel;
            const float value = Result(view, n, e, i, channel);
            if (pass == 1) {
              *sum = value;
            } else {
              FromFloat(value + *sum, static_cast<T*>(p.output) + batch * p.output_batch_stride +
                                          i * p.output_time_stride + head * Traits::kHead + channel);
            }
          }
        }
      }
      SyncBlock();
    }
  }
};

template <class Traits>
__device__ void AttendHalf(const CrossModalAttentionParams& p, bool aligned, int row_warps, int64_t query_tile,
                           int64_t head, int64_t batch, int thread) {
  using T = typename Traits::Element;
  const int lane = thread % 32, warp = thread / 32;
  const int direction = warp / row_warps, group_thread = thread - direction * row_warps * 32;
  const int64_t block_row = query_tile * row_warps * Traits::kRows;
  const int64_t row = block_row + warp % row_warps * Traits::kRows;
  const DirectionView<T> view(p, direction, batch, head, Traits::kHead);
  T* const stages = reinterpret_cast<T*>(SharedMemory()) + direction * Traits::kStages * Traits::kStageElements;
  const float scale = kLog2E * rsqrtf(static_cast<float>(Traits::kHead));
  const TileRange tiles(p, block_row, min(block_row + row_warps * Traits::kRows, p.query_count), Traits::kTile);

  const auto load = [&](int64_t tile) {
    T* const keys = stages + (tile - tiles.first) % Traits::kStages * Traits::kStageElements;
    LoadRows<Traits>(p, view, view.key, keys, tile, group_thread, row_warps * 32, aligned);
    LoadRows<Traits>(p, view, view.value, keys + Traits::kTile * Traits::kPitch, tile, group_thread, row_warps * 32,
                     aligned);
  };
  if (tiles.first < tiles.last) load(tiles.first);
  HalfWarp<Traits> state;
  state.LoadQuery(view, row, p.query_count, lane);
  for (int64_t tile = tiles.first; tile < tiles.last; ++tile) {
    const T* const keys = stages + (tile - tiles.first) % Traits::kStages * Traits::kStageElements;
    const bool more = Traits::kStages > 1 && tile + 1 < tiles.last;
    if (more) load(tile + 1);
    if (more)
      WaitCopies<3>();  // under way: this tile's values, the next tile's keys and values
    else
      WaitCopies<1>();
    SyncBlock();
    float scores[HalfWarp<Traits>::kScoreTiles][4];
    const TileView seen(p, view, tile * Traits::kTile, Traits::kTile);
    state.Multiply(scores, keys, seen.limit, lane);
    state.Softmax(scores, seen, static_cast<int>(row), scale, lane);
    if (more)
      WaitCopies<2>();
    else
      WaitCopies<0>();
    SyncBlock();
    state.Mix(scores, keys + Traits::kTile * Traits::kPitch, seen.limit, lane);
    SyncBlock();  // before the next load, or the sums below, overwrite this stage
  }

  state.Write(p, view, direction, reinterpret_cast<float*>(SharedMemory()), batch, head, block_row, row, lane);
}

}  // namespace edgeaff
