// Cross-modal attention in both directions and their weighted sum (Paper: section 3.2, eq. 1):
//
//   out = alpha * (softmax(Qa Kv^T / sqrt(d_h)) Vv + Ra) + beta * (softmax(Qv Ka^T / sqrt(d_h)) Va + Rv)
//
// B batch, Tq queries, Tk keys, H heads, D = H * head_size. Key j is seen by query i when its mask allows it and, with a
// band W, when 0 <= (i + Tk - Tq) - j < W. A row that sees no key has an attention term of 0. Scores, softmax, alpha, beta and
// biases are fp32 for every data type.
#pragma once
#include <cstddef>
#include <cstdint>

#if defined(EDGEAFF_WITH_CUDA) || defined(__CUDACC__)
#include <cuda_runtime_api.h>
#endif

namespace edgeaff {

enum class DataType : int { kFloat32 = 0, kFloat16 = 1, kBfloat16 = 2 };

// What belongs to one modality. Strides count elements; the channels of a row are contiguous. Nothing is owned.
struct AttentionModality {
  const void* query = nullptr;  // (B, Tq, D); CPU: null for video leaves out its branch, and audio's keys
  int64_t query_batch_stride = 0;
  int64_t query_time_stride = 0;
  const void* key_value = nullptr;  // (B, Tk, 2D): keys in channels [0, D), values in [D, 2D)
  int64_t key_value_batch_stride = 0;
  int64_t key_value_time_stride = 0;
  const uint8_t* key_mask = nullptr;  // (B, Tk) of this modality's keys, 0 = does not exist; null = all exist
  int64_t key_mask_batch_stride = 0;  // contiguous in time
  const float* age_bias = nullptr;    // (H, W) contiguous, of this modality's keys by age; null = 0
  const void* residual = nullptr;     // (B, Tq, D) of this modality's queries; null = 0
  int64_t residual_batch_stride = 0;
  int64_t residual_time_stride = 0;
};

struct CrossModalAttentionParams {
  DataType data_type = DataType::kFloat32;
  int64_t batch = 0;
  int64_t query_count = 0;  // Tq
  int64_t key_count = 0;    // Tk
  int num_heads = 0;        // H
  int head_size = 0;        // CPU: a multiple of 16 up to 256; CUDA: 16, 32, 64 or 128
  int64_t band = 0;         // W; 0 = no band
  AttentionModality audio;
  AttentionModality video;
  float alpha = 1.0f;
  float beta = 1.0f;
  const float* alpha_pointer = nullptr;  // if given, read instead of alpha; on the device in the CUDA form
  const float* beta_pointer = nullptr;
  void* output = nullptr;  // (B, Tq, D), the data type of the queries
  int64_t output_batch_stride = 0;
  int64_t output_time_stride = 0;
};

// Computes on the processor with `threads` >= 1 threads (this one included). fp32 and bf16. Thread-safe; no input is written.
// Returns false, having done nothing, for a data type or head size that it does not have. Throws std::bad_alloc, with an unfinished
// output, where there is no memory to work in.
bool CrossModalAttentionCpu(const CrossModalAttentionParams& params, int threads);

#if defined(EDGEAFF_WITH_CUDA) || defined(__CUDACC__)
// Queues one kernel on `stream`: fp32, fp16, bf16. Neither allocates nor synchronizes, so it can be captured in a graph. All
// pointers are device memory. Returns cudaErrorInvalidValue for sizes it does not have, else the error of the launch.
cudaError_t CrossModalAttentionCuda(const CrossModalAttentionParams& params, cudaStream_t stream);
#endif

}  // namespace edgeaff
