// window_step for any instruction set: included by window_step_*.cc alone.
//
// The encoders of the two modalities do not depend on each other: each is one work item, so that two threads meet once per tick.
// A matrix product quantizes its rows, then goes panel by panel (64 outputs, 32 KB at 512 inputs) over all rows. `Dot` makes the
// product of bytes; PlainDot below is the form for instruction sets that have no such product.
#pragma once
#include <math.h>

#include <cstdint>

#include "edgeaff/cross_modal_attention.h"
#include "edgeaff/thread_pool.h"
#include "edgeaff/window_step.h"
#include "layer_norm_tile.h"

namespace edgeaff {
namespace {

constexpr int kPanel = 64;       // outputs side by side
constexpr int kZeroPoint = 128;  // of activations with both signs

// y (rows, outputs) of bytes a (rows, inputs) with a scale per row. zero: what stands for 0 in a. relu: negative results become 0.
struct PlainDot {
  static void Multiply(const ByteLinear& linear, const uint8_t* a, const float* scales, int64_t rows, int zero,
                       bool relu, float* y, int64_t y_stride) {
    for (int64_t from = 0; from < linear.outputs; from += kPanel) {
      const int8_t* const panel = linear.panels + from * linear.inputs;
      for (int64_t r = 0; r < rows; ++r) {
        int32_t sums[kPanel] = {};
        const uint8_t* const row = a + r * linear.inputs;
        for (int64_t k = 0; k < linear.inputs; k += 4) {
          const int8_t* const w = panel + k * kPanel;
          for (int c = 0; c < kPanel; ++c) {
            sums[c] +=
                row[k] * w[4 * c] + row[k + 1] * w[4 * c + 1] + row[k + 2] * w[4 * c + 2] + row[k + 3] * w[4 * c + 3];
          }
        }
        float* const out = y + r * y_stride + from;
        for (int c = 0; c < kPanel; ++c) {
          const auto sum = static_cast<float>(sums[c] - zero * linear.column_sums[from + c]);
          const float value = sum * (scales[r] * linear.scale[from + c]) + linear.bias[from + c];
          out[c] = relu && value < 0.0f ? 0.0f : value;
        }
      }
    }
  }
};

template <class V, class Dot>
class WindowRunner {
  using Reg = typename V::Reg;
  static constexpr int W = V::kWidth;

 public:
  static void Append(const WindowStepModel& model, const float* video, const float* audio, char* scratch, float* row) {
    WindowRunner runner(model, nullptr, video, audio, scratch, row);
    runner.MakeRow(0);
    runner.MakeRow(1);
  }

  static void Step(const WindowStepModel& model, const float* const* rows, const float* video, const float* audio,
                   int threads, char* scratch, float* row, float* values) {
    WindowRunner runner(model, rows, video, audio, scratch, row);
    ParallelFor(
        threads, 2,
        [](void* self, int64_t index, int) {
          auto* const at = static_cast<WindowRunner*>(self);
          at->MakeRow(static_cast<int>(index));
          at->Encode(static_cast<int>(index));
        },
        &runner);
    runner.Fuse(values);
  }

 private:
  // Memory of one modality.
  struct Side {
    const WindowModality* modality = nullptr;
    const float* input = nullptr;
    float* row = nullptr;  // token (d), packed (3 d) of this tick
    float *tokens = nullptr, *packed = nullptr, *mixed = nullptr, *hidden = nullptr, *scales = nullptr;
    uint8_t* bytes = nullptr;
    uint8_t* present = nullptr;  // (T) whether a tick has this modality
    bool any = false, all = true;
  };

  WindowRunner(const WindowStepModel& model, const float* const* rows, const float* video, const float* audio,
               char* scratch, float* row)
      : model_(model), sizes_(model.sizes()), d_(sizes_.size), ticks_(sizes_.ticks), rows_(rows), row_(row) {
    const int64_t wide = d_ > sizes_.ffn_size ? d_ : sizes_.ffn_size;
    for (int index = 0; index < 2; ++index) {
      Side& side = sides_[index];
      side.modality = index == 0 ? &model.video : &model.audio;
      side.input = index == 0 ? video : audio;
      side.row = row + index * 4 * d_;
      side.tokens = reinterpret_cast<float*>(scratch + index * model.side_bytes());
      side.packed = side.tokens + ticks_ * d_;
      side.mixed = side.packed + ticks_ * 3 * d_;
      side.hidden = side.mixed + ticks_ * d_;
      side.scales = side.hidden + ticks_ * wide;
      side.present = reinterpret_cast<uint8_t*>(side.scales + ticks_);
      side.bytes = side.present + ticks_;
    }
    row[8 * d_] = video != nullptr ? 1.0f : 0.0f;
    row[8 * d_ + 1] = audio != nullptr ? 1.0f : 0.0f;
  }

  void MakeRow(int index) {
    Side& side = sides_[index];
    const ByteLinear& project = side.modality->project;
    if (side.input != nullptr) {
      Multiply(side, project, side.input, project.inputs, 1, side.row, d_);
    } else {
      for (int64_t i = 0; i < d_; i += W) V::Store(side.row + i, V::Load(project.bias + i));
    }
    Multiply(side, side.modality->layers[0].qkv, side.row, d_, 1, side.row + d_, 3 * d_);
  }

  void Encode(int index) {
    Side& side = sides_[index];
    const WindowModality& m = *side.modality;
    for (int64_t t = 0; t < ticks_; ++t) {
      const float* const whole = t + 1 < ticks_ ? rows_[t] : row_;
      side.present[t] = whole != nullptr && whole[8 * d_ + index] > 0.5f;
      side.any = side.any || side.present[t] != 0;
      side.all = side.all && side.present[t] != 0;
      const float* const kept = whole == nullptr ? nullptr : whole + index * 4 * d_;
      Sum(kept, m.positions + t * d_, side.tokens + t * d_, d_);
      Sum(kept == nullptr ? nullptr : kept + d_, m.packed_positions + t * 3 * d_, side.packed + t * 3 * d_, 3 * d_);
    }
    for (size_t i = 0; i < m.layers.size(); ++i) {
      const WindowLayer& layer = m.layers[i];
      if (i > 0) Multiply(side, layer.qkv, side.tokens, d_, ticks_, side.packed, 3 * d_);
      Attend(side);
      Multiply(side, layer.out, side.mixed, d_, ticks_, side.packed, d_);
      AddAndNormalize(side, side.packed, layer.norm1_weight, layer.norm1_bias);
      Multiply(side, layer.ffn1, side.tokens, d_, ticks_, side.hidden, sizes_.ffn_size, false, true);
      Multiply(side, layer.ffn2, side.hidden, sizes_.ffn_size, ticks_, side.packed, d_, true);
      AddAndNormalize(side, side.packed, layer.norm2_weight, layer.norm2_bias);
    }
  }

  void Attend(Side& side) const {
    CrossModalAttentionParams p;  // the audio branch alone: queries, keys and values of one modality
    p.batch = 1;
    p.query_count = p.key_count = ticks_;
    p.num_heads = sizes_.num_heads;
    p.head_size = static_cast<int>(d_ / sizes_.num_heads);
    p.audio.query = side.packed;
    p.audio.query_time_stride = 3 * d_;
    p.video.key_value = side.packed + d_;
    p.video.key_value_time_stride = 3 * d_;
    p.video.key_mask = side.all ? nullptr : side.present;
    p.output = side.mixed;
    p.output_time_stride = d_;
    CrossModalAttentionCpu(p, 1);
  }

  // ---- fusion --------------------------------------------------------------------------------------------------------
  void Fuse(float* values) {
    float sum[2] = {model_.bias[0], model_.bias[1]};
    for (int index = 0; index < 2; ++index) {
      const float* const newest = sides_[index].tokens + (ticks_ - 1) * d_;
      for (int c = 0; c < 2; ++c) sum[c] += Product(sides_[index].modality->residual + c * d_, newest);
      Listen(sides_[index], sides_[1 - index], sum);
    }
    for (int c = 0; c < 2; ++c) values[c] = sum[c] < -1.0f ? -1.0f : (sum[c] > 1.0f ? 1.0f : sum[c]);
  }

  // Adds what the newest row of one modality finds in the other.
  void Listen(Side& asks, const Side& reported, float* sum) {
    if (!reported.any) return;
    const WindowModality& m = *reported.modality;
    const int64_t head = d_ / sizes_.num_heads;
    float* const query = asks.hidden;
    float* const key = asks.mixed;
    float* const scores = asks.packed;
    float* const mixed = asks.mixed + d_;
    Multiply(asks, asks.modality->query, asks.tokens + (ticks_ - 1) * d_, d_, 1, query, d_);
    for (int c = 0; c < 2; ++c) sum[c] += m.answer_bias[c];
    for (int h = 0; h < sizes_.num_heads; ++h) {
      Multiply(asks, m.keys[static_cast<size_t>(h)], query + h * head, head, 1, key, d_);
      float top = -__builtin_inff();
      for (int64_t t = 0; t < ticks_; ++t) {
        scores[t] = reported.present[t] != 0 ? Product(key, reported.tokens + t * d_) : -__builtin_inff();
        top = scores[t] > top ? scores[t] : top;
      }
      float total = 0.0f;
      for (int64_t i = 0; i < d_; i += W) V::Store(mixed + i, V::Zero());
      for (int64_t t = 0; t < ticks_; ++t) {
        if (reported.present[t] == 0) continue;
        const float p = exp2f(scores[t] - top);
        total += p;
        const Reg share = V::Set(p);
        const float* const token = reported.tokens + t * d_;
        for (int64_t i = 0; i < d_; i += W) V::Store(mixed + i, V::Fma(share, V::Load(token + i), V::Load(mixed + i)));
      }
      for (int c = 0; c < 2; ++c) sum[c] += Product(m.answer + (c * sizes_.num_heads + h) * d_, mixed) / total;
    }
  }

  // ---- rows ----------------------------------------------------------------------------------------------------------
  static void Sum(const float* a, const float* b, float* out, int64_t count) {
    for (int64_t i = 0; i < count; i += W)
      V::Store(out + i, a == nullptr ? V::Load(b + i) : V::Add(V::Load(a + i), V::Load(b + i)));
  }

  float Product(const float* a, const float* b) const {
    Reg even = V::Zero(), odd = V::Zero();
    for (int64_t i = 0; i < d_; i += 2 * W) {
      even = V::Fma(V::Load(a + i), V::Load(b + i), even);
      odd = V::Fma(V::Load(a + i + W), V::Load(b + i + W), odd);
    }
    return V::ReduceAdd(V::Add(even, odd));
  }

  // tokens = (tokens + more - mean) / sqrt(variance + 1e-5) * weight + bias, row by row.
  void AddAndNormalize(Side& side, const float* more, const float* weight, const float* bias) const {
    for (int64_t t = 0; t < ticks_; ++t) {
      float* const x = side.tokens + t * d_;
      Reg total = V::Zero();
      for (int64_t i = 0; i < d_; i += W) {
        const Reg sum = V::Add(V::Load(x + i), V::Load(more + t * d_ + i));
        V::Store(x + i, sum);
        total = V::Add(total, sum);
      }
      const Moments<V> moments(x, d_, total);
      for (int64_t i = 0; i < d_; i += W) {
        V::Store(x + i, V::Fma(moments.Apply(x + i), V::Load(weight + i), V::Load(bias + i)));
      }
    }
  }

  // ---- products of bytes ---------------------------------------------------------------------------------------------
  static void Multiply(Side& side, const ByteLinear& linear, const float* x, int64_t x_stride, int64_t rows, float* y,
                       int64_t y_stride, bool positive = false, bool relu = false) {
    for (int64_t r = 0; r < rows; ++r) {
      side.scales[r] = Quantize(x + r * x_stride, linear.inputs, positive, side.bytes + r * linear.inputs);
    }
    Dot::Multiply(linear, side.bytes, side.scales, rows, positive ? 0 : kZeroPoint, relu, y, y_stride);
  }

  // Returns the value of one step of the bytes; 255 steps from 0 where no value is negative, else 127 to either side of 128.
  static float Quantize(const float* x, int64_t count, bool positive, uint8_t* out) {
    Reg high = V::Zero();
    const Reg minus = V::Set(-1.0f);
    int64_t i = 0;
    for (; i + W <= count; i += W) {
      const Reg value = V::Load(x + i);
      high = V::Max(high, V::Max(value, V::Mul(value, minus)));
    }
    float most = V::ReduceMax(high);
    for (; i < count; ++i) {
      const float size = x[i] < 0.0f ? -x[i] : x[i];
      most = size > most ? size : most;
    }
    const float steps = positive ? 255.0f : 127.0f, shift = positive ? 0.0f : static_cast<float>(kZeroPoint);
    const float factor = most > 0.0f ? steps / most : 0.0f;
    for (i = 0; i < count; ++i) out[i] = static_cast<uint8_t>(static_cast<int>(__builtin_rintf(x[i] * factor + shift)));
    return most / steps;
  }

  const WindowStepModel& model_;
  const WindowSizes& sizes_;
  const int64_t d_, ticks_;
  const float* const* rows_;
  float* const row_;
  Side sides_[2];
};

}  // namespace
}  // namespace edgeaff
