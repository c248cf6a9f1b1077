// What the two forms of cross_modal_attention on CUDA share: arguments of one direction, and which keys a query sees.
#pragma once
#include <cstdint>

#include "cuda_primitives.cuh"
#include "edgeaff/cross_modal_attention.h"

namespace edgeaff {

constexpr float kLog2E = 1.44269504088896340736f;
constexpr int kMaxRowWarps = 4;

__device__ __forceinline__ float MinusInfinity() { return -INFINITY; }

// One direction of one (batch element, head). Direction 0: audio queries over video keys; 1: video queries over audio keys.
template <class T>
struct DirectionView {
  const T* query;
  const T* key;
  const T* value;
  const T* residual;      // null = 0
  const uint8_t* mask;    // null = all keys exist
  const float* age_bias;  // null = 0
  int64_t query_stride, key_stride, residual_stride;
  float weight;  // alpha or beta

  __device__ DirectionView(const CrossModalAttentionParams& p, int direction, int64_t batch, int64_t head,
                           int head_size) {
    const AttentionModality& asks = direction == 0 ? p.audio : p.video;
    const AttentionModality& answers = direction == 0 ? p.video : p.audio;
    const int64_t channel = head * head_size;
    query = static_cast<const T*>(asks.query) + batch * asks.query_batch_stride + channel;
    key = static_cast<const T*>(answers.key_value) + batch * answers.key_value_batch_stride + channel;
    value = key + static_cast<int64_t>(p.num_heads) * head_size;
    residual = asks.residual == nullptr
                   ? nullptr
                   : static_cast<const T*>(asks.residual) + batch * asks.residual_batch_stride + channel;
    mask = answers.key_mask == nullptr ? nullptr : answers.key_mask + batch * answers.key_mask_batch_stride;
    age_bias = answers.age_bias == nullptr ? nullptr : answers.age_bias + head * p.band;
    query_stride = asks.query_time_stride;
    key_stride = answers.key_value_time_stride;
    residual_stride = asks.residual_time_stride;
    const float* const pointer = direction == 0 ? p.alpha_pointer : p.beta_pointer;
    weight = pointer != nullptr ? *pointer : (direction == 0 ? p.alpha : p.beta);
  }

  __device__ bool Exists(const CrossModalAttentionParams& p, int64_t j) const {
    return j < p.key_count && (mask == nullptr || mask[j] != 0);
  }
};

// The keys of one tile, numbered from 0, as a warp's queries see them. 32 bits suffice: the launcher refuses 2^30 keys or queries.
struct TileView {
  int limit;              // keys of the tile that are there
  unsigned band;          // no band: beyond every age
  int first_age;          // age of key 0 for query 0 of the launch; a query's is its number more
  const uint8_t* mask;    // of key 0, or null
  const float* age_bias;  // null = 0

  template <class T>
  __device__ TileView(const CrossModalAttentionParams& p, const DirectionView<T>& view, int64_t first_key, int tile)
      : limit(static_cast<int>(min(p.key_count - first_key, static_cast<int64_t>(tile)))),
        band(p.band == 0 ? 0xFFFFFFFFu : static_cast<unsigned>(p.band)),
        first_age(p.band == 0 ? 1 << 30 : static_cast<int>(p.key_count - p.query_count - first_key)),
        mask(view.mask == nullptr ? nullptr : view.mask + first_key),
        age_bias(view.age_bias) {}

  // The score in units of log2, minus infinity where query i does not see the key.
  __device__ __forceinline__ float Score(float product, float scale, int i, int key) const {
    const int age = first_age + i - key;
    bool seen = key < limit && static_cast<unsigned>(age) < band;
    if (mask != nullptr && seen) seen = mask[key] != 0;
    float score = product * scale;
    if (age_bias != nullptr && seen) score += age_bias[age] * kLog2E;
    return seen ? score : MinusInfinity();
  }
};

// Tiles of `tile` keys that any query of rows [from, to) may see: [first, last).
struct TileRange {
  int64_t first, last;
  __device__ TileRange(const CrossModalAttentionParams& p, int64_t from, int64_t to, int tile) {
    int64_t low = 0, high = p.key_count;
    if (p.band != 0) {
      const int64_t shift = p.key_count - p.query_count;
      low = from + shift - p.band + 1 > 0 ? from + shift - p.band + 1 : 0;
      high = to + shift < p.key_count ? to + shift : p.key_count;
    }
    first = low / tile;
    last = high > low ? (high + tile - 1) / tile : first;
  }
};

}  // namespace edgeaff
