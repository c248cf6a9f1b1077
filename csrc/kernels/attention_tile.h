// One head of cross_modal_attention on one core, for any instruction set: included by cross_modal_attention_*.cc alone.
//
// Per direction: keys are packed transposed into panels of kScoreCols vectors, values into panels of kValueCols vectors, both
// small enough for the first cache. Scores of a block of queries are made panel by panel with a kRows x kCols tile of
// accumulators, one softmax pass turns them into unnormalized probabilities in place, and the same tile multiplies them with
// the values; 1 / sum, alpha or beta and the residual join as the tile is written. Both operands are read as 32-bit units: one
// fp32, or a pair of bf16 for the dot-product instruction.
// The last few keys beyond full vectors (T = 100 leaves 4 of 16) are done as plain dot products, which saves up to 12 % of the
// score work. Up to kSmallQuery queries skip the packing altogether.
#pragma once
#include <cstdint>

#include "attention_cpu.h"
#include "attention_units.h"

namespace edgeaff {
namespace {

template <class M>
class AttentionTile {
  using V = typename M::V;
  using T = typename M::Element;
  using Reg = typename V::Reg;
  static constexpr int W = V::kWidth;
  static constexpr int64_t kKeyPanel = V::kScoreCols * W, kValuePanel = V::kValueCols * W;
  static constexpr int kLongestSum = 32, kLongestValueSum = 128;
  static constexpr int kDotKeys = 4;  // leftover keys up to this many are done as dot products

 public:
  static int64_t ScratchFloats(const CrossModalAttentionParams& p) {
    return AttentionTile(p, 0, 0, nullptr).scratch_size_;
  }

  static void Run(const CrossModalAttentionParams& p, int64_t batch, int head, float* scratch) {
    AttentionTile tile(p, batch, head, scratch);
    const float alpha = p.alpha_pointer != nullptr ? *p.alpha_pointer : p.alpha;
    const float beta = p.beta_pointer != nullptr ? *p.beta_pointer : p.beta;
    tile.Direction(p.audio, p.video, alpha, true);
    if (p.video.query != nullptr) tile.Direction(p.video, p.audio, beta, false);
    tile.WriteBf16Output();
  }

 private:
  AttentionTile(const CrossModalAttentionParams& p, int64_t batch, int head, float* scratch)
      : p_(p), batch_(batch), head_(head) {
    d_ = p.head_size;
    units_ = d_ / M::kPack;
    padded_keys_ = (p.key_count + 2 * W * M::kPack) / (W * M::kPack) * (W * M::kPack);
    small_ = p.query_count <= kSmallQuery;
    const int64_t left = p.key_count % W;
    dot_keys_ = small_ ? p.key_count : (left <= kDotKeys ? left : 0);
    vector_keys_ = small_ ? 0 : (p.key_count - dot_keys_ + W - 1) / W * W;
    score_stride_ = padded_keys_ + 16;
    const int64_t fit = kScoreBudget / score_stride_ / 24 * 24;
    block_ = p.query_count < kQueryBlock ? p.query_count : kQueryBlock;
    if (block_ > fit) block_ = fit < 24 ? 24 : fit;
    one_block_ = block_ >= p.query_count;
    float* next = scratch;
    int64_t used = 0;
    const auto take = [&](int64_t count) {
      float* const at = scratch == nullptr || count == 0 ? nullptr : next + used;
      used += (count + 15) / 16 * 16;
      return at;
    };
    keys_ = take(vector_keys_ * units_);
    values_ = take(padded_keys_ / M::kPack * d_);
    scores_ = take(block_ * score_stride_);
    sums_ = take(block_);
    add_ = take(padded_keys_ + W);
    bias_ = take(p.band + 2 * W);
    zeros_ = take(d_);
    slots_ = take(d_ * (W > kDotKeys ? W : kDotKeys));
    queries_ = take(sizeof(T) == 2 && M::kPack == 1 ? block_ * d_ : 0);
    result_ = take(sizeof(T) == 2 ? p.query_count * d_ : 0);
    scratch_size_ = used;
    if (scratch != nullptr) {
      for (int i = 0; i < d_; ++i) zeros_[i] = 0.0f;
    }
  }

  const T* KeysOf(const AttentionModality& kv) const {
    return static_cast<const T*>(kv.key_value) + batch_ * kv.key_value_batch_stride + head_ * d_;
  }

  void Direction(const AttentionModality& q, const AttentionModality& kv, float weight, bool first) {
    weight_ = weight;
    first_ = first;
    query_ = static_cast<const T*>(q.query) + batch_ * q.query_batch_stride + head_ * d_;
    query_stride_ = q.query_time_stride;
    key_ = KeysOf(kv);
    key_stride_ = kv.key_value_time_stride;
    value_ = key_ + static_cast<int64_t>(p_.num_heads) * d_;
    mask_ = kv.key_mask == nullptr ? nullptr : kv.key_mask + batch_ * kv.key_mask_batch_stride;
    residual_ = q.residual == nullptr
                    ? nullptr
                    : static_cast<const T*>(q.residual) + batch_ * q.residual_batch_stride + head_ * d_;
    residual_stride_ = q.residual_time_stride;
    age_bias_ = kv.age_bias == nullptr ? nullptr : kv.age_bias + head_ * p_.band;
    PrepareBias();
    direct_values_ = small_ && mask_ == nullptr && sizeof(T) == 4;
    copy_values_ = !small_ && mask_ == nullptr && sizeof(T) == 4 && p_.band == 0 && one_block_ &&
                   p_.key_count <= kLongestValueSum && p_.query_count >= V::kValueRows;
    if (!one_block_) PackAll();
    for (int64_t from = 0; from < p_.query_count; from += block_) {
      const int64_t rows = p_.query_count - from < block_ ? p_.query_count - from : block_;
      Scores(from, rows);
      int64_t r = 0;
      if (mask_ == nullptr && p_.band == 0) {
        for (; r + 4 <= rows; r += 4) PlainSoftmax(scores_ + r * score_stride_, sums_ + r);
      }
      for (; r < rows; ++r) Softmax(from + r, scores_ + r * score_stride_, sums_ + r);
      Values(from, rows);
    }
  }

  // ---- which keys a query sees ---------------------------------------------------------------------------------------
  //   j:   0 ......... lo ========= hi ......... Tk        lo = i + Tk - Tq - W + 1, hi = i + Tk - Tq + 1, cut to [0, Tk]
  int64_t SeenFrom(int64_t i) const {
    if (p_.band == 0) return 0;
    const int64_t lo = i + p_.key_count - p_.query_count - p_.band + 1;
    return lo < 0 ? 0 : (lo > p_.key_count ? p_.key_count : lo);
  }
  int64_t SeenTo(int64_t i) const {
    if (p_.band == 0) return p_.key_count;
    const int64_t hi = i + p_.key_count - p_.query_count + 1;
    return hi < 0 ? 0 : (hi > p_.key_count ? p_.key_count : hi);
  }

  // bias_[W + x] = bias of age band - 1 - x in units of log2, so that it runs with j; add_[j] = 0, or minus infinity where
  // there is no key j.
  void PrepareBias() {
    if (age_bias_ != nullptr) {
      for (int64_t x = 0; x < p_.band + 2 * W; ++x) {
        const int64_t age = p_.band - 1 - (x - W);
        bias_[x] = age >= 0 && age < p_.band ? age_bias_[age] * kLog2E : 0.0f;
      }
    }
    for (int64_t j = 0; j < padded_keys_; ++j) add_[j] = Exists(j) ? 0.0f : kMinusInfinity;
  }

  bool Exists(int64_t j) const { return j < p_.key_count && (mask_ == nullptr || mask_[j] != 0); }

  const float* KeyUnits(int64_t j, int slot) const {
    return Exists(j) ? M::UnitRow(key_ + j * key_stride_, d_, slots_ + slot * d_) : zeros_;
  }

  // Keys [panel, panel + width) as [unit][key].
  void PackKeyPanel(int64_t panel, int64_t width, float* out) {
    const float* rows[W];
    for (int64_t j = 0; j < width; j += W) {
      for (int w = 0; w < W; ++w) rows[w] = KeyUnits(panel + j + w, w);
      for (int64_t u = 0; u < units_; u += W) V::Transpose(rows, u, out + u * width + j, width);
    }
  }
  int64_t KeyPanelWidth(int64_t panel) const {
    const int64_t left = vector_keys_ - panel;
    return left < kKeyPanel ? left : kKeyPanel;
  }

  // Channels [c, c + width) of all values as [key pair or key][channel].
  void PackValuePanel(int64_t c, int64_t width, float* out) {
    const int64_t steps = (p_.key_count + M::kPack - 1) / M::kPack;
    const T* rows[M::kPack];
    for (int64_t k = 0; k < steps; ++k) {
      for (int i = 0; i < M::kPack; ++i) {
        const int64_t j = k * M::kPack + i;
        rows[i] = Exists(j) ? value_ + j * key_stride_ + c : nullptr;
      }
      M::PackValues(rows, width, out + k * width);
    }
  }
  int64_t ValuePanelWidth(int64_t c) const { return d_ - c < kValuePanel ? d_ - c : kValuePanel; }

  // Several blocks of queries read the same panels: they are packed once, each at its place. One block packs each panel just
  // before its use, all at one place that stays in the first cache.
  void PackAll() {
    for (int64_t panel = 0; panel < vector_keys_; panel += kKeyPanel)
      PackKeyPanel(panel, KeyPanelWidth(panel), keys_ + panel * units_);
    const int64_t steps = (p_.key_count + M::kPack - 1) / M::kPack;
    if (direct_values_) return;
    for (int64_t c = 0; c < d_; c += kValuePanel) PackValuePanel(c, ValuePanelWidth(c), values_ + c * steps);
  }

  // ---- scores --------------------------------------------------------------------------------------------------------
  void Scores(int64_t from, int64_t rows) {
    const char* q = reinterpret_cast<const char*>(query_ + from * query_stride_);
    int64_t stride = query_stride_ * static_cast<int64_t>(sizeof(T));
    if (sizeof(T) == 2 && M::kPack == 1) {
      for (int64_t r = 0; r < rows; ++r) M::UnitRow(query_ + (from + r) * query_stride_, d_, queries_ + r * d_);
      q = reinterpret_cast<const char*>(queries_);
      stride = d_ * 4;
    }
    for (int64_t panel = 0; panel < vector_keys_; panel += kKeyPanel) {
      const int64_t cols = (vector_keys_ - panel) / W;
      packed_ = one_block_ ? keys_ : keys_ + panel * units_;
      if (one_block_) PackKeyPanel(panel, KeyPanelWidth(panel), keys_);
      if (V::kScoreCols >= 4 && cols >= 4)
        ScorePanel<V::kScoreCols >= 4 ? 4 : 1>(q, stride, from, rows, panel);
      else if (V::kScoreCols >= 3 && cols >= 3)
        ScorePanel<V::kScoreCols >= 3 ? 3 : 1>(q, stride, from, rows, panel);
      else if (cols >= 2)
        ScorePanel<2>(q, stride, from, rows, panel);
      else
        ScorePanel<1>(q, stride, from, rows, panel);
    }
    DotScores(q, stride, from, rows);
  }

  template <int C>
  void ScorePanel(const char* q, int64_t stride, int64_t from, int64_t rows, int64_t panel) {
    int64_t r = 0;
    for (; r + V::kScoreRows <= rows; r += V::kScoreRows) ScoreRows<V::kScoreRows, C>(q, stride, from, r, panel);
    for (; r + 4 <= rows; r += 4) ScoreRows<4, C>(q, stride, from, r, panel);
    for (; r < rows; ++r) ScoreRows<1, C>(q, stride, from, r, panel);
  }

  template <int R, int C>
  void ScoreRows(const char* q, int64_t stride, int64_t from, int64_t r, int64_t panel) {
    if (SeenFrom(from + r) >= panel + C * W || SeenTo(from + r + R - 1) <= panel) return;
    // Long sums are done in two parts: half of the rounding error of one chain for 1 % of time.
    const int64_t part = units_ > kLongestSum ? units_ / 2 : units_;
    for (int64_t u = 0; u < units_; u += part) {
      Reg acc[R][C];
      MultiplyTile<M, R, C>(q + r * stride + 4 * u, stride, packed_ + u * C * W, C * W, part, acc);
#pragma GCC unroll 8
      for (int i = 0; i < R; ++i) {
        float* const out = scores_ + (r + i) * score_stride_ + panel;
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) V::Store(out + c * W, u == 0 ? acc[i][c] : V::Add(acc[i][c], V::Load(out + c * W)));
      }
    }
  }

  void DotScores(const char* q, int64_t stride, int64_t from, int64_t rows) {
    const int64_t end = vector_keys_ + dot_keys_;
    int64_t lo = SeenFrom(from), hi = SeenTo(from + rows - 1);
    if (lo < vector_keys_) lo = vector_keys_;
    if (hi > end) hi = end;
    for (; lo + 4 <= hi; lo += 4) DotKeys<4>(q, stride, rows, lo);
    for (; lo < hi; ++lo) DotKeys<1>(q, stride, rows, lo);
  }

  template <int K>
  void DotKeys(const char* q, int64_t stride, int64_t rows, int64_t j) {
    const float* key[K];
    for (int i = 0; i < K; ++i) key[i] = KeyUnits(j + i, i);
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) DotTile<4, K>(q, stride, r, key, j);
    for (; r < rows; ++r) DotTile<1, K>(q, stride, r, key, j);
  }

  template <int R, int K>
  void DotTile(const char* q, int64_t stride, int64_t r, const float* const* key, int64_t j) {
    Reg acc[R][K];
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
      for (int k = 0; k < K; ++k) acc[i][k] = V::Zero();
    }
    for (int64_t u = 0; u < units_; u += W) {
      Reg column[K];
#pragma GCC unroll 4
      for (int k = 0; k < K; ++k) column[k] = V::Load(key[k] + u);
#pragma GCC unroll 4
      for (int i = 0; i < R; ++i) {
        const Reg row = V::Load(reinterpret_cast<const float*>(q + (r + i) * stride) + u);
#pragma GCC unroll 4
        for (int k = 0; k < K; ++k) acc[i][k] = M::MulAdd(acc[i][k], row, column[k]);
      }
    }
    float* const out = scores_ + r * score_stride_ + j;
    if constexpr (R == 4 && K == 4) {
      V::ReduceAdd4x4(acc, out, score_stride_);
    } else {
      for (int i = 0; i < R; ++i) {
        for (int k = 0; k < K; ++k) out[i * score_stride_ + k] = V::ReduceAdd(acc[i][k]);
      }
    }
  }

  // ---- softmax -------------------------------------------------------------------------------------------------------
  // Scores of query i -> probabilities times their sum, in place; entries of its row block that it does not see become 0.
  void Softmax(int64_t i, float* row, float* sum) {
    const int64_t lo = SeenFrom(i), hi = SeenTo(i);
    const int64_t begin = lo / W * W, end = (hi + W - 1) / W * W;
    const float scale = kLog2E / __builtin_sqrtf(static_cast<float>(d_));
    *sum = 0.0f;
    if (lo < hi) {
      if (hi < end) V::FillTail(row + end - W, static_cast<int>(hi - (end - W)), kMinusInfinity);
      for (int64_t j = begin; j < lo; ++j) row[j] = kMinusInfinity;
      const bool plain = mask_ == nullptr && age_bias_ == nullptr;
      if (!plain) AddBias(i, row, begin, end, scale);
      Reg max = V::Set(kMinusInfinity);
      for (int64_t j = begin; j < end; j += W) max = V::Max(max, V::Load(row + j));
      const float top = V::ReduceMax(max) * (plain ? scale : 1.0f);
      if (top > kMinusInfinity || top != top) {
        const Reg factor = V::Set(plain ? scale : 1.0f), shift = V::Set(-top);
        Reg total = V::Zero();
        for (int64_t j = begin; j < end; j += W) {
          const Reg x = V::Exp2(V::Fma(V::Load(row + j), factor, shift));
          total = V::Add(total, x);
          M::StoreProbability(row, j, x);
        }
        *sum = V::ReduceAdd(total);
        ClearOutside(row, begin, end);
        return;
      }
    }
    for (int64_t j = 0; j < padded_keys_; ++j) row[j] = 0.0f;
  }

  // The same for four rows that see every key: their chains of reductions run side by side.
  void PlainSoftmax(float* rows, float* sums) {
    constexpr int R = 4;
    const int64_t keys = p_.key_count, full = keys / W * W, stride = score_stride_;
    const int left = static_cast<int>(keys - full);
    const float scale = kLog2E / __builtin_sqrtf(static_cast<float>(d_));
    const Reg factor = V::Set(scale), never = V::Set(kMinusInfinity);
    Reg max[R], total[R], last[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      last[r] = left != 0 ? V::LoadSome(rows + r * stride + full, left, never) : never;
      max[r] = last[r];
      total[r] = V::Zero();
    }
    for (int64_t j = 0; j < full; j += W) {
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) max[r] = V::Max(max[r], V::Load(rows + r * stride + j));
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) max[r] = V::Set(-V::ReduceMax(max[r]) * scale);
    for (int64_t j = 0; j < full; j += W) {
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const Reg x = V::Exp2(V::Fma(V::Load(rows + r * stride + j), factor, max[r]));
        total[r] = V::Add(total[r], x);
        M::StoreProbability(rows + r * stride, j, x);
      }
    }
    if (left != 0) {
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const Reg x = V::Exp2(V::Fma(last[r], factor, max[r]));
        total[r] = V::Add(total[r], x);
        M::StoreProbability(rows + r * stride, full, x);
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      sums[r] = V::ReduceAdd(total[r]);
      ClearOutside(rows + r * stride, 0, (keys + W - 1) / W * W);
    }
  }

  // row = row * scale + bias by age + (0 or minus infinity), in units of log2.
  void AddBias(int64_t i, float* row, int64_t begin, int64_t end, float scale) {
    const Reg factor = V::Set(scale);
    const float* bias = bias_ + W - (i + p_.key_count - p_.query_count - p_.band + 1);
    for (int64_t j = begin; j < end; j += W) {
      Reg x = V::Fma(V::Load(row + j), factor, V::Load(add_ + j));
      if (age_bias_ != nullptr) x = V::Add(x, V::Load(bias + j));
      V::Store(row + j, x);
    }
  }

  void ClearOutside(float* row, int64_t begin, int64_t end) const {
    if (p_.band == 0 && M::kPack == 1) return;
    const T zero{};
    using P = T;  // probabilities lie as T only for pairs; with kPack 1 they are fp32
    if (M::kPack == 1) {
      for (int64_t j = 0; j < begin; ++j) row[j] = 0.0f;
      for (int64_t j = end; j < padded_keys_; ++j) row[j] = 0.0f;
    } else {
      P* const pairs = reinterpret_cast<P*>(row);
      for (int64_t j = 0; j < begin; ++j) pairs[j] = zero;
      for (int64_t j = end; j < padded_keys_; ++j) pairs[j] = zero;
    }
  }

  // ---- values --------------------------------------------------------------------------------------------------------
  void Values(int64_t from, int64_t rows) {
    const int64_t steps = (p_.key_count + M::kPack - 1) / M::kPack;
    for (int64_t c = 0; c < d_; c += kValuePanel) {
      const int64_t cols = (d_ - c) / W;
      packed_ = one_block_ ? values_ : values_ + c * steps;
      if (one_block_ && !direct_values_ && !copy_values_) PackValuePanel(c, ValuePanelWidth(c), values_);
      if (V::kValueCols >= 4 && cols >= 4)
        ValuePanel<V::kValueCols >= 4 ? 4 : 1, 4>(from, rows, c);
      else if (V::kValueCols >= 3 && cols >= 3)
        ValuePanel<V::kValueCols >= 3 ? 3 : 1, 3>(from, rows, c);
      else if (cols >= 2)
        ValuePanel<2, 2>(from, rows, c);
      else
        ValuePanel<1, 1>(from, rows, c);
    }
  }

  template <int C, int>
  void ValuePanel(int64_t from, int64_t rows, int64_t c) {
    int64_t r = 0;
    if (copy_values_) CopyValueRows<V::kValueRows, C>(c), r = V::kValueRows;
    for (; r + V::kValueRows <= rows; r += V::kValueRows) ValueRows<V::kValueRows, C>(from, r, c);
    for (; r + 4 <= rows; r += 4) ValueRows<4, C>(from, r, c);
    for (; r < rows; ++r) ValueRows<1, C>(from, r, c);
  }

  template <int R, int C>
  void ValueRows(int64_t from, int64_t r, int64_t c) {
    const int64_t k0 = SeenFrom(from + r) / M::kPack, seen = SeenTo(from + r + R - 1);
    const int64_t k1 = (seen + M::kPack - 1) / M::kPack;
    const float* b = packed_ + k0 * (C * W);
    int64_t b_stride = C * W;
    if (direct_values_) {
      b = reinterpret_cast<const float*>(value_ + k0 * key_stride_ + c);
      b_stride = key_stride_;
    }
    const char* a = reinterpret_cast<const char*>(scores_ + r * score_stride_ + k0);
    const int64_t steps_seen = k1 > k0 ? k1 - k0 : 0;
    if (steps_seen > kLongestValueSum / M::kPack) return LongValueRows<R, C>(from, r, c, a, b, b_stride, steps_seen);
    Reg acc[R][C];
    MultiplyTile<M, R, C>(a, score_stride_ * 4, b, b_stride, steps_seen, acc);
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) WriteRow<C>(from + r + i, c, sums_[r + i], acc[i]);
  }

  // The first rows of the only block: they read the values where they lie and leave the panel behind for the others.
  template <int R, int C>
  void CopyValueRows(int64_t c) {
    Reg acc[R][C];
    MultiplyTile<M, R, C, true>(reinterpret_cast<const char*>(scores_), score_stride_ * 4,
                                reinterpret_cast<const float*>(value_ + c), key_stride_, p_.key_count, acc, values_);
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) WriteRow<C>(i, c, sums_[i], acc[i]);
  }

  // Sums over many keys are done in parts, as those of scores.
  template <int R, int C>
  __attribute__((noinline)) void LongValueRows(int64_t from, int64_t r, int64_t c, const char* a, const float* b,
                                               int64_t b_stride, int64_t steps) {
    constexpr int64_t kPart = kLongestValueSum / M::kPack;
    Reg acc[R][C], more[R][C];
    MultiplyTile<M, R, C>(a, score_stride_ * 4, b, b_stride, kPart, acc);
    for (int64_t k = kPart; k < steps; k += kPart) {
      const int64_t left = steps - k;
      MultiplyTile<M, R, C>(a + 4 * k, score_stride_ * 4, b + k * b_stride, b_stride, left < kPart ? left : kPart,
                            more);
      for (int i = 0; i < R; ++i) {
        for (int j = 0; j < C; ++j) acc[i][j] = V::Add(acc[i][j], more[i][j]);
      }
    }
    for (int i = 0; i < R; ++i) WriteRow<C>(from + r + i, c, sums_[r + i], acc[i]);
  }

  template <int C>
  inline __attribute__((always_inline)) void WriteRow(int64_t i, int64_t c, float sum, const Reg (&acc)[C]) {
    const Reg factor = V::Set(sum == 0.0f ? 0.0f : weight_ / sum), weight = V::Set(weight_);
    float* out = result_ != nullptr ? result_ + i * d_ + c : OutputRow(i) + c;
#pragma GCC unroll 4
    for (int k = 0; k < C; ++k) {
      Reg x = V::Mul(acc[k], factor);
      if (residual_ != nullptr) x = V::Fma(LoadWide(residual_ + i * residual_stride_ + c + k * W), weight, x);
      if (!first_) x = V::Add(x, V::Load(out + k * W));
      V::Store(out + k * W, x);
    }
  }

  float* OutputRow(int64_t i) const {
    return static_cast<float*>(p_.output) + batch_ * p_.output_batch_stride + i * p_.output_time_stride + head_ * d_;
  }

  static Reg LoadWide(const float* x) { return V::Load(x); }
  static Reg LoadWide(const uint16_t* x) { return V::LoadBf16(x); }

  // bf16: both directions were summed in fp32; round once.
  void WriteBf16Output() const {
    if (result_ == nullptr) return;
    uint16_t* const out = static_cast<uint16_t*>(p_.output) + batch_ * p_.output_batch_stride + head_ * d_;
    for (int64_t i = 0; i < p_.query_count; ++i) {
      for (int c = 0; c < d_; ++c) out[i * p_.output_time_stride + c] = RoundToBf16(result_[i * d_ + c]);
    }
  }

  const CrossModalAttentionParams& p_;
  const int64_t batch_;
  const int64_t head_;
  int64_t d_, units_, padded_keys_, dot_keys_, vector_keys_, score_stride_, block_, scratch_size_;
  bool small_, first_ = true, direct_values_ = false, copy_values_ = false;
  float weight_ = 1.0f;
  const T *query_ = nullptr, *key_ = nullptr, *value_ = nullptr, *residual_ = nullptr;
  const uint8_t* mask_ = nullptr;
  const float* age_bias_ = nullptr;
  int64_t query_stride_ = 0, key_stride_ = 0, residual_stride_ = 0;
  bool one_block_ = false;
  const float* packed_ = nullptr;
  float *keys_, *values_, *scores_, *sums_, *add_, *bias_, *zeros_, *slots_, *queries_, *result_;
};

}  // namespace
}  // namespace edgeaff
