// Choice of the instruction set for cross_modal_attention, and its threads: one work item is one head of one batch element.
// The tiles are in attention_tile.h; *_avx512.cc and its kin compile them for one instruction set each.
#include "edgeaff/cross_modal_attention.h"

#include <atomic>
#include <cstdlib>
#include <new>

#include "attention_tile.h"
#include "edgeaff/cpu_features.h"
#include "edgeaff/thread_pool.h"
#include "simd_scalar.h"

namespace edgeaff {

using FloatTile = AttentionTile<FloatUnits<Scalar, float>>;
using Bf16Tile = AttentionTile<FloatUnits<Scalar, uint16_t>>;

const AttentionKernel kAttentionFloatScalar{FloatTile::ScratchFloats, FloatTile::Run};
const AttentionKernel kAttentionBf16Scalar{Bf16Tile::ScratchFloats, Bf16Tile::Run};

namespace {

const AttentionKernel& ChooseKernel(const CrossModalAttentionParams& params) {
  const bool is_float = params.data_type == DataType::kFloat32;
  switch (BestInstructionSet()) {
#if defined(__x86_64__)
    case InstructionSet::kAvx512:
      if (is_float) return kAttentionFloatAvx512;
      if (HasAvx512Bf16() && params.head_size % 32 == 0 && params.query_count > kSmallQuery)
        return kAttentionBf16Avx512Dot;
      return kAttentionBf16Avx512;
    case InstructionSet::kAvx2: return is_float ? kAttentionFloatAvx2 : kAttentionBf16Avx2;
#elif defined(__aarch64__)
    case InstructionSet::kNeon: return is_float ? kAttentionFloatNeon : kAttentionBf16Neon;
#endif
    default: return is_float ? kAttentionFloatScalar : kAttentionBf16Scalar;
  }
}

// Grows and is kept per thread, so that calls of one shape allocate once.
class Scratch {
 public:
  ~Scratch() { std::free(memory_); }
  // Returns null where there is no memory: a task on a thread of the pool must not throw.
  float* Get(int64_t floats) {
    if (floats > size_) {
      std::free(memory_);
      size_ = 0;
      memory_ =
          static_cast<float*>(std::aligned_alloc(64, static_cast<size_t>((floats + 15) / 16 * 16) * sizeof(float)));
      if (memory_ == nullptr) return nullptr;
      size_ = floats;
    }
    return memory_;
  }

 private:
  float* memory_ = nullptr;
  int64_t size_ = 0;
};

struct Job {
  const CrossModalAttentionParams* params;
  const AttentionKernel* kernel;
  int64_t scratch_floats;
  std::atomic<bool> failed{false};
};

void RunItem(void* context, int64_t index, int) {
  thread_local Scratch scratch;
  Job& job = *static_cast<Job*>(context);
  const int64_t heads = job.params->num_heads;
  float* const memory = job.failed ? nullptr : scratch.Get(job.scratch_floats);
  if (memory == nullptr) {
    job.failed = true;
    return;
  }
  job.kernel->run(*job.params, index / heads, static_cast<int>(index % heads), memory);
}

}  // namespace

bool CrossModalAttentionCpu(const CrossModalAttentionParams& params, int threads) {
  if (params.data_type == DataType::kFloat16) return false;
  if (params.head_size < 16 || params.head_size > 256 || params.head_size % 16 != 0 || params.num_heads < 1)
    return false;
  if (params.batch <= 0 || params.query_count <= 0) return true;
  const AttentionKernel& kernel = ChooseKernel(params);
  Job job{&params, &kernel, kernel.scratch_floats(params)};
  ParallelFor(threads, params.batch * params.num_heads, RunItem, &job);
  if (job.failed) throw std::bad_alloc();
  return true;
}

}  // namespace edgeaff
