// What the per-instruction-set files of cross_modal_attention share: their entry points, and the limits of one work item.
#pragma once
#include <cstdint>

#include "edgeaff/cross_modal_attention.h"

namespace edgeaff {

constexpr int64_t kSmallQuery = 3;    // up to this many queries are computed without packing the keys
constexpr int64_t kQueryBlock = 120;  // queries whose scores are held at a time; a multiple of every tile height
constexpr int64_t kScoreBudget = 256 * 1024;  // floats of scores held at a time

// One head of one batch element, both directions and their sum. scratch: scratch_floats(params) floats, 64-byte aligned.
struct AttentionKernel {
  int64_t (*scratch_floats)(const CrossModalAttentionParams& params);
  void (*run)(const CrossModalAttentionParams& params, int64_t batch, int head, float* scratch);
};

extern const AttentionKernel kAttentionFloatScalar, kAttentionBf16Scalar;
#if defined(__x86_64__)
extern const AttentionKernel kAttentionFloatAvx2, kAttentionBf16Avx2;
extern const AttentionKernel kAttentionFloatAvx512, kAttentionBf16Avx512;
extern const AttentionKernel kAttentionBf16Avx512Dot;  // head size a multiple of 32
#elif defined(__aarch64__)
extern const AttentionKernel kAttentionFloatNeon, kAttentionBf16Neon;
#endif

}  // namespace edgeaff
