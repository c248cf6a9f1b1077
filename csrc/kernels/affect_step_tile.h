// affect_step for any instruction set: included by affect_step_*.cc alone.
//
// Rings: keys lie as [channel][slot], so that the scores of many ticks are one vector; values as [slot][channel]. Slot s holds the
// tick of age (newest - s) mod W; slots fill in order, so that the first `count` are the ones that exist.
#pragma once
#include <math.h>

#include <cstdint>

#include "edgeaff/affect_step.h"
#include "layer_norm_tile.h"

namespace edgeaff {
namespace {

template <class V>
class StepRunner {
  using Reg = typename V::Reg;
  static constexpr int W = V::kWidth;
  static constexpr float kLeastLogStd = -3.91202301f, kMostLogStd = 0.405465108f;  // of 0.02 and 1.5
  static constexpr int kHeader = 16;  // floats of the state before the rings: newest slot, count

 public:
  static void Run(const StepModel& model, float* state, const float* video, const float* audio, float* scratch,
                  float* values) {
    StepRunner(model, state, scratch).Tick(video, audio, values);
  }

 private:
  StepRunner(const StepModel& model, float* state, float* scratch)
      : model_(model),
        sizes_(model.sizes()),
        d_(sizes_.size),
        head_(sizes_.size / sizes_.num_heads),
        padded_(model.padded_band()),
        header_(state),
        ring_(state + kHeader) {
    tokens_ = scratch;
    norm_ = tokens_ + d_;
    packed_ = norm_ + d_;
    mixed_ = packed_ + 4 * d_ + 64;
    hidden_ = mixed_ + d_;
    scores_ = hidden_ + (sizes_.ffn_size > sizes_.audio_size ? sizes_.ffn_size : sizes_.audio_size + 16);
    cross_[0] = scores_ + padded_;
    cross_[1] = cross_[0] + 4 * d_ + 64;
    spread_ = cross_[1] + 4 * d_ + 64;
  }

  void Tick(const float* video, const float* audio, float* values) {
    int32_t position[2];
    __builtin_memcpy(position, header_, sizeof position);
    newest_ = position[1] == 0 ? 0 : (position[0] + 1 == sizes_.band ? 0 : position[0] + 1);
    count_ = position[1] < sizes_.band ? position[1] + 1 : sizes_.band;

    Encode(model_.video, video, video != nullptr, audio != nullptr, false, cross_[0]);
    Encode(model_.audio, audio, video != nullptr, audio != nullptr, true, cross_[1]);
    float* const video_ring = ring_;
    float* const audio_ring = ring_ + (d_ + 2 * sizes_.num_heads) * padded_;
    PushCross(video_ring, cross_[0]);
    PushCross(audio_ring, cross_[1]);
    const float* const video_rest = cross_[0] + 2 * d_ + 2 * sizes_.num_heads;
    const float* const audio_rest = cross_[1] + 2 * d_ + 2 * sizes_.num_heads;
    float sum[2] = {model_.bias[0] + video_rest[0] + audio_rest[0], model_.bias[1] + video_rest[1] + audio_rest[1]};
    CrossAttend(cross_[1], video_ring, model_.video.attention, sum);
    CrossAttend(cross_[0], audio_ring, model_.audio.attention, sum);
    for (int c = 0; c < 2; ++c) values[c] = sum[c] < -1.0f ? -1.0f : (sum[c] > 1.0f ? 1.0f : sum[c]);

    values[2] = values[3] = 0.0f;
    if (video != nullptr && sizes_.spread_size > 0) Spread(video, values);

    position[0] = static_cast<int32_t>(newest_);
    position[1] = static_cast<int32_t>(count_);
    __builtin_memcpy(header_, position, sizeof position);
  }

  // The standard deviations of the errors of this face's values.
  void Spread(const float* video, float* values) {
    float* const hidden = spread_;
    float* const out = hidden + sizes_.spread_size;
    float* const inputs = out + 16;
    __builtin_memcpy(inputs, video, static_cast<size_t>(sizes_.video_size) * sizeof(float));
    inputs[sizes_.video_size] = values[0];
    inputs[sizes_.video_size + 1] = values[1];
    Apply(model_.spread_hidden, inputs, hidden);
    for (int i = 0; i < sizes_.spread_size; i += W) V::Store(hidden + i, V::Max(V::Load(hidden + i), V::Zero()));
    Apply(model_.spread_out, hidden, out);
    for (int c = 0; c < 2; ++c) {
      values[2 + c] = expf(out[c] < kLeastLogStd ? kLeastLogStd : (out[c] > kMostLogStd ? kMostLogStd : out[c]));
    }
  }

  // Token, layers and the projections of the cross-modal layer.
  void Encode(const StepModality& m, const float* values, bool has_video, bool has_audio, bool compress, float* cross) {
    if (values == nullptr) {
      Copy(m.absent, tokens_, d_);
    } else {
      if (compress) {
        for (int i = 0; i < m.input.inputs; ++i) hidden_[i] = copysignf(log1pf(fabsf(values[i])), values[i]);
        values = hidden_;
      }
      Apply(m.input, values, tokens_);
    }
    if (has_video) Accumulate(m.present, tokens_, d_);
    if (has_audio) Accumulate(m.present + d_, tokens_, d_);
    for (const StepLayer& layer : m.layers) {
      Normalize(tokens_, norm_);
      Apply(layer.qkv, norm_, packed_);
      float* const keys = rings_used_ + ring_ + 2 * (d_ + 2 * sizes_.num_heads) * padded_;
      float* const held = keys + d_ * padded_;
      rings_used_ += 2 * d_ * padded_;
      for (int64_t c = 0; c < d_; ++c) keys[c * padded_ + newest_] = packed_[d_ + c];
      Copy(packed_ + 2 * d_, held + newest_ * d_, d_);
      for (int h = 0; h < sizes_.num_heads; ++h) {
        const float total = Scores(packed_, keys, layer.attention, h);
        Mix(held + h * head_, mixed_ + h * head_, 1.0f / total);
      }
      Apply(layer.out, mixed_, packed_);
      Accumulate(packed_, tokens_, d_);
      Normalize(tokens_, norm_);
      Apply(layer.ffn1, norm_, hidden_);
      for (int i = 0; i < sizes_.ffn_size; i += W) V::Store(hidden_ + i, V::Max(V::Load(hidden_ + i), V::Zero()));
      Apply(layer.ffn2, hidden_, packed_);
      Accumulate(packed_, tokens_, d_);
    }
    Normalize(tokens_, norm_);
    Apply(m.cross, norm_, cross);
  }

  // ---- vectors -------------------------------------------------------------------------------------------------------
  static void Copy(const float* from, float* to, int64_t count) {
    for (int64_t i = 0; i < count; i += W) V::Store(to + i, V::Load(from + i));
  }
  static void Accumulate(const float* from, float* to, int64_t count) {
    for (int64_t i = 0; i < count; i += W) V::Store(to + i, V::Add(V::Load(to + i), V::Load(from + i)));
  }

  // (x - mean) / sqrt(variance + 1e-5); the affine part is folded into what follows.
  void Normalize(const float* x, float* out) const {
    Reg total = V::Zero();
    for (int64_t i = 0; i < d_; i += W) total = V::Add(total, V::Load(x + i));
    const Moments<V> moments(x, d_, total);
    for (int64_t i = 0; i < d_; i += W) V::Store(out + i, moments.Apply(x + i));
  }

  static Reg LoadWide(const float* p) { return V::Load(p); }
  static Reg LoadWide(const uint16_t* p) { return V::LoadBf16(p); }
  static Reg LoadWide(const int8_t* p) { return V::LoadInt8(p); }

  static void Apply(const StepLinear& linear, const float* x, float* y) {
    switch (linear.type) {
      case WeightType::kFloat32: return Multiply(linear, static_cast<const float*>(linear.weight), x, y);
      case WeightType::kBfloat16: return Multiply(linear, static_cast<const uint16_t*>(linear.weight), x, y);
      case WeightType::kInt8: return Multiply(linear, static_cast<const int8_t*>(linear.weight), x, y);
    }
  }

  template <class T>
  static void Multiply(const StepLinear& linear, const T* weight, const float* x, float* y) {
    const int outputs = (linear.outputs + 15) / 16 * 16;
    int o = 0;
    for (; o + 4 * W <= outputs; o += 4 * W) Columns<4>(linear, weight, x, y, o, outputs);
    for (; o < outputs; o += W) Columns<1>(linear, weight, x, y, o, outputs);
  }

  // C vectors of outputs; even and odd inputs have their own sums, to keep the multipliers busy.
  template <int C, class T>
  static void Columns(const StepLinear& linear, const T* weight, const float* x, float* y, int o, int outputs) {
    Reg even[C], odd[C];
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) even[c] = odd[c] = V::Zero();
    const T* row = weight + o;
    int i = 0;
    for (; i + 2 <= linear.inputs; i += 2, row += 2 * outputs) {
      const Reg first = V::Broadcast(x + i), second = V::Broadcast(x + i + 1);
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) {
        even[c] = V::Fma(first, LoadWide(row + c * W), even[c]);
        odd[c] = V::Fma(second, LoadWide(row + outputs + c * W), odd[c]);
      }
    }
    if (i < linear.inputs) {
      const Reg first = V::Broadcast(x + i);
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) even[c] = V::Fma(first, LoadWide(row + c * W), even[c]);
    }
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      const Reg sum = V::Add(even[c], odd[c]);
      const Reg bias = V::Load(linear.bias + o + c * W);
      const Reg value =
          linear.scale == nullptr ? V::Add(sum, bias) : V::Fma(sum, V::Load(linear.scale + o + c * W), bias);
      V::Store(y + o + c * W, value);
    }
  }

  // ---- attention over a ring -----------------------------------------------------------------------------------------
  // scores_[slot] = 2^(q_h . k_h + bias by age - top); returns their sum. q carries 1 / sqrt(d_h) * log2(e).
  float Scores(const float* query, const float* keys, const StepAttention& attention, int h) {
    const float* const bias = attention.age_bias + h * 2 * padded_ + (sizes_.band - newest_);
    const int64_t end = (count_ + W - 1) / W * W;
    int64_t s = 0;
    for (; s + 4 * W <= end; s += 4 * W) ScoreColumns<4>(query + h * head_, keys + h * head_ * padded_, bias, s);
    for (; s < end; s += W) ScoreColumns<1>(query + h * head_, keys + h * head_ * padded_, bias, s);
    if (count_ < end) V::FillTail(scores_ + end - W, static_cast<int>(count_ - (end - W)), -__builtin_inff());
    Reg top = V::Load(scores_);
    for (s = W; s < end; s += W) top = V::Max(top, V::Load(scores_ + s));
    const Reg shift = V::Set(-V::ReduceMax(top));
    Reg total = V::Zero();
    for (s = 0; s < end; s += W) {
      const Reg p = V::Exp2(V::Add(V::Load(scores_ + s), shift));
      total = V::Add(total, p);
      V::Store(scores_ + s, p);
    }
    return V::ReduceAdd(total);
  }

  template <int C>
  void ScoreColumns(const float* query, const float* keys, const float* bias, int64_t s) {
    Reg sum[C];
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) sum[c] = V::Load(bias + s + c * W);
    for (int64_t k = 0; k < head_; ++k) {
      const Reg q = V::Broadcast(query + k);
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) sum[c] = V::Fma(q, V::Load(keys + k * padded_ + s + c * W), sum[c]);
    }
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) V::Store(scores_ + s + c * W, sum[c]);
  }

  // out (d_h) = factor * sum over slots of scores_[slot] * held[slot], with four sums side by side.
  void Mix(const float* held, float* out, float factor) const {
    for (int64_t c = 0; c < head_; c += W) {
      Reg sum[4] = {V::Zero(), V::Zero(), V::Zero(), V::Zero()};
      int64_t s = 0;
      for (; s + 4 <= count_; s += 4) {
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) {
          sum[k] = V::Fma(V::Broadcast(scores_ + s + k), V::Load(held + (s + k) * d_ + c), sum[k]);
        }
      }
      for (; s < count_; ++s) sum[0] = V::Fma(V::Broadcast(scores_ + s), V::Load(held + s * d_ + c), sum[0]);
      V::Store(out + c, V::Mul(V::Add(V::Add(sum[0], sum[1]), V::Add(sum[2], sum[3])), V::Set(factor)));
    }
  }

  void PushCross(float* ring, const float* cross) const {
    for (int64_t c = 0; c < d_ + 2 * sizes_.num_heads; ++c) ring[c * padded_ + newest_] = cross[d_ + c];
  }

  // sum[c] += for all heads: softmax(q_h . k_h + bias) . u_hc
  void CrossAttend(const float* query, const float* ring, const StepAttention& attention, float* sum) {
    const int64_t end = (count_ + W - 1) / W * W;
    for (int h = 0; h < sizes_.num_heads; ++h) {
      const float total = Scores(query, ring, attention, h);
      for (int c = 0; c < 2; ++c) {
        const float* const u = ring + (d_ + c * sizes_.num_heads + h) * padded_;
        Reg mixed = V::Zero();
        for (int64_t s = 0; s < end; s += W) mixed = V::Fma(V::Load(scores_ + s), V::Load(u + s), mixed);
        sum[c] += V::ReduceAdd(mixed) / total;
      }
    }
  }

  const StepModel& model_;
  const StepSizes& sizes_;
  const int64_t d_, head_, padded_;
  float* const header_;
  float* const ring_;
  int64_t rings_used_ = 0;
  int64_t newest_ = 0, count_ = 0;
  float *tokens_, *norm_, *packed_, *mixed_, *hidden_, *scores_, *cross_[2], *spread_;
};

}  // namespace
}  // namespace edgeaff
