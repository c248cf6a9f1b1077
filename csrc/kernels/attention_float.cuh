// fp32 with plain multiply-adds: for parity with the fp32 reference, not for peak speed.
//
// A block holds two groups of warps, one per direction; a warp owns kRows queries. Scores: lane = key of a tile of 32. Values:
// lane = channels lane, lane + 32, ... Rows of keys are padded by 4 floats, so that 8 lanes reading 16 bytes each touch all banks.
#pragma once
#include "attention_cuda.cuh"

namespace edgeaff {

template <int kHeadSize>
struct FloatTraits {
  static constexpr int kHead = kHeadSize;
  static constexpr int kTile = 32;
  static constexpr int kRows = 4;
  static constexpr int kPitch = kHeadSize + 4;
  static constexpr int kGroupFloats = 2 * kTile * kPitch;             // keys and values of one direction
  static constexpr int kWarpFloats = kRows * kPitch + kRows * kTile;  // queries and probabilities of one warp
  static constexpr int SharedBytes(int row_warps) { return 4 * (2 * kGroupFloats + 2 * row_warps * kWarpFloats); }
};

// Rows [tile * kTile, + kTile) of keys and values into shared memory; rows that do not exist become 0.
template <class Traits>
__device__ __forceinline__ void LoadTile(const CrossModalAttentionParams& p, const DirectionView<float>& view,
                                         float* keys, float* values, int64_t tile, int thread, int thread_count) {
  for (int index = thread; index < Traits::kTile * Traits::kHead; index += thread_count) {
    const int j = index / Traits::kHead, channel = index % Traits::kHead;
    const int64_t at = tile * Traits::kTile + j;
    const bool exists = view.Exists(p, at);
    keys[j * Traits::kPitch + channel] = exists ? view.key[at * view.key_stride + channel] : 0.0f;
    values[j * Traits::kPitch + channel] = exists ? view.value[at * view.key_stride + channel] : 0.0f;
  }
}

// What a warp keeps of its kRows queries.
template <class Traits>
struct FloatWarp {
  static constexpr int kRows = Traits::kRows, kPitch = Traits::kPitch, kPerLane = (Traits::kHead + 31) / 32;
  float out[kRows][kPerLane], top[kRows], total[kRows];

  __device__ __forceinline__ void Clear() {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int c = 0; c < kPerLane; ++c) out[r][c] = 0.0f;
      top[r] = MinusInfinity();
      total[r] = 0.0f;
    }
  }

  // products[r] = query r . key lane
  __device__ __forceinline__ void Multiply(float (&products)[kRows], const float* queries, const float* keys,
                                           int lane) const {
    for (int channel = 0; channel < Traits::kHead; channel += 4) {
      const float4 k = *reinterpret_cast<const float4*>(keys + lane * kPitch + channel);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const float4 q = *reinterpret_cast<const float4*>(queries + r * kPitch + channel);
        products[r] += q.x * k.x + q.y * k.y + (q.z * k.z + q.w * k.w);
      }
    }
  }

  // Products become weights in shared memory; what was summed before is rescaled as the maximum grows.
  __device__ __forceinline__ void Softmax(const float (&products)[kRows], float* weights, const TileView& seen, int row,
                                          float scale, int lane) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const float score = seen.Score(products[r], scale, row + r, lane);
      float highest = score;
      for (int step = 16; step > 0; step /= 2) highest = fmaxf(highest, ShuffleXor(highest, step));
      highest = fmaxf(highest, top[r]);
      const float shift = highest == MinusInfinity() ? 0.0f : highest;
      const float rescale = FastExp2(top[r] - shift), weight = FastExp2(score - shift);
      float sum = weight;
      for (int step = 16; step > 0; step /= 2) sum += ShuffleXor(sum, step);
      total[r] = total[r] * rescale + sum;
      top[r] = highest;
#pragma unroll
      for (int c = 0; c < kPerLane; ++c) out[r][c] *= rescale;
      weights[r * Traits::kTile + lane] = weight;
    }
  }

  // out += weights . values
  __device__ __forceinline__ void Mix(const float* weights, const float* values, int lane) {
    for (int j = 0; j < Traits::kTile; ++j) {
#pragma unroll
      for (int c = 0; c < kPerLane; ++c) {
        const float value = lane + 32 * c < Traits::kHead ? values[j * kPitch + lane + 32 * c] : 0.0f;
#pragma unroll
        for (int r = 0; r < kRows; ++r) out[r][c] += weights[r * Traits::kTile + j] * value;
      }
    }
  }

  // The second direction hands its result over in shared memory (`sums`, of the block's rows), the first adds and writes.
  __device__ __forceinline__ void Write(const CrossModalAttentionParams& p, const DirectionView<float>& view,
                                        int direction, float* sums, float* out_rows, int64_t block_row, int64_t row,
                                        int lane) const {
    for (int pass = 1; pass >= 0; --pass) {
      SyncBlock();
      if (direction != pass) continue;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int64_t i = row + r;
        if (i >= p.query_count) continue;
#pragma unroll
        for (int c = 0; c < kPerLane; ++c) {
          const int channel = lane + 32 * c;
          if (channel >= Traits::kHead) continue;
          float value = total[r] > 0.0f || total[r] != total[r] ? out[r][c] / total[r] : 0.0f;
          if (view.residual != nullptr) value += view.residual[i * view.residual_stride + channel];
          value *= view.weight;
          float* const sum = sums + (i - block_row) * kPitch + channel;
          if (pass == 1)
            *sum = value;
          else
            out_rows[i * p.output_time_stride + channel] = value + *sum;
        }
      }
    }
  }
};

template <class Traits>
__device__ void AttendFloat(const CrossModalAttentionParams& p, int row_warps, int64_t query_tile, int64_t head,
                            int64_t batch, int thread) {
  constexpr int kRows = Traits::kRows, kPitch = Traits::kPitch;
  const int lane = thread % 32, warp = thread / 32;
  const int direction = warp / row_warps, group_thread = thread - direction * row_warps * 32;
  const int64_t block_row = query_tile * row_warps * kRows;
  const int64_t row = block_row + warp % row_warps * kRows;
  const DirectionView<float> view(p, direction, batch, head, Traits::kHead);
  float* const memory = reinterpret_cast<float*>(SharedMemory());
  float* const keys = memory + direction * Traits::kGroupFloats;
  float* const values = keys + Traits::kTile * kPitch;
  float* const queries = memory + 2 * Traits::kGroupFloats + warp * Traits::kWarpFloats;
  float* const weights = queries + kRows * kPitch;
  const float scale = kLog2E * rsqrtf(static_cast<float>(Traits::kHead));

  for (int index = lane; index < kRows * Traits::kHead; index += 32) {
    const int64_t i = row + index / Traits::kHead;
    const int channel = index % Traits::kHead;
    queries[index / Traits::kHead * kPitch + channel] =
        i < p.query_count ? view.query[i * view.query_stride + channel] : 0.0f;
  }
  FloatWarp<Traits> state;
  state.Clear();
  const TileRange tiles(p, block_row, min(block_row + row_warps * kRows, p.query_count), Traits::kTile);
  for (int64_t tile = tiles.first; tile < tiles.last; ++tile) {
    SyncBlock();  // the tile before has been used
    LoadTile<Traits>(p, view, keys, values, tile, group_thread, row_warps * 32);
    SyncBlock();
    const TileView seen(p, view, tile * Traits::kTile, Traits::kTile);
    float products[kRows] = {};
    state.Multiply(products, queries, keys, lane);
    state.Softmax(products, weights, seen, static_cast<int>(row), scale, lane);
    SyncWarp();
    state.Mix(weights, values, lane);
    SyncWarp();  // before the next tile's weights are written
  }
  float* const out_rows = static_cast<float*>(p.output) + batch * p.output_batch_stride + head * Traits::kHead;
  state.Write(p, view, direction, memory, out_rows, block_row, row, lane);
}

}  // namespace edgeaff
