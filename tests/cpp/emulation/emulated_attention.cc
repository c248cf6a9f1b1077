// The CUDA kernels of cross_modal_attention on the host, behind one C function; built and called by
// tests/ops/test_cuda_kernel_emulated.py.
#define EDGEAFF_EMULATE_CUDA 1
#include "attention_float.cuh"
#include "attention_half.cuh"

namespace edgeaff {
namespace {

template <class Body>
void RunGrid(const CrossModalAttentionParams& p, int rows, int threads, int shared_bytes, const Body& body) {
  for (int64_t batch = 0; batch < p.batch; ++batch) {
    for (int64_t head = 0; head < p.num_heads; ++head) {
      for (int64_t tile = 0; tile * rows < p.query_count; ++tile) {
        EmulatedBlock block(threads, shared_bytes);
        block.Run([&](int thread) { body(tile, head, batch, thread); });
      }
    }
  }
}

template <class Traits>
void RunHalf(const CrossModalAttentionParams& p, int row_warps, bool aligned) {
  RunGrid(p, 16 * row_warps, 64 * row_warps, Traits::kSharedBytes,
          [&](int64_t tile, int64_t head, int64_t batch, int thread) {
            AttendHalf<Traits>(p, aligned, row_warps, tile, head, batch, thread);
          });
}

template <int kHead>
void RunFloat(const CrossModalAttentionParams& p, int row_warps) {
  using Traits = FloatTraits<kHead>;
  RunGrid(p, Traits::kRows * row_warps, 64 * row_warps, Traits::SharedBytes(row_warps),
          [&](int64_t tile, int64_t head, int64_t batch, int thread) {
            AttendFloat<Traits>(p, row_warps, tile, head, batch, thread);
          });
}

template <class T, int kHead>
void RunHalfTiles(const CrossModalAttentionParams& p, int row_warps, bool aligned, bool online) {
  if (online)
    RunHalf<HalfTraits<T, kHead, 32, 2>>(p, row_warps, aligned);
  else
    RunHalf<HalfTraits<T, kHead, 128, 1>>(p, row_warps, aligned);
}

}  // namespace
}  // namespace edgeaff

// sizes: data type, B, Tq, Tk, heads, head size, band. Arrays are contiguous: query (B, Tq, D), key_value (B, Tk, 2D) with
// `padding` elements between rows, residual and output (B, Tq, D). Null = absent. Returns 0, or 1 for a form that is not built.
extern "C" int emulate(const int64_t* sizes, void* const* audio, void* const* video, const float* weights, void* output,
                       int64_t padding, int row_warps, int aligned, int online) {
  using namespace edgeaff;
  CrossModalAttentionParams p;
  p.data_type = static_cast<DataType>(sizes[0]);
  p.batch = sizes[1];
  p.query_count = sizes[2];
  p.key_count = sizes[3];
  p.num_heads = static_cast<int>(sizes[4]);
  p.head_size = static_cast<int>(sizes[5]);
  p.band = sizes[6];
  const int64_t channels = sizes[4] * sizes[5];
  for (int which = 0; which < 2; ++which) {
    AttentionModality& m = which == 0 ? p.audio : p.video;
    void* const* const from = which == 0 ? audio : video;
    m.query = from[0];
    m.query_time_stride = m.residual_time_stride = channels;
    m.query_batch_stride = m.residual_batch_stride = p.query_count * channels;
    m.key_value = from[1];
    m.key_value_time_stride = 2 * channels + padding;
    m.key_value_batch_stride = p.key_count * m.key_value_time_stride;
    m.key_mask = static_cast<const uint8_t*>(from[2]);
    m.key_mask_batch_stride = p.key_count;
    m.age_bias = static_cast<const float*>(from[3]);
    m.residual = from[4];
  }
  p.alpha_pointer = &weights[0];
  p.beta = weights[1];
  p.output = output;
  p.output_time_stride = channels;
  p.output_batch_stride = p.query_count * channels;
  if (p.data_type == DataType::kFloat32 && p.head_size == 16)
    RunFloat<16>(p, row_warps);
  else if (p.data_type == DataType::kFloat16 && p.head_size == 16)
    RunHalfTiles<__half, 16>(p, row_warps, aligned, online);
  else if (p.data_type == DataType::kFloat32 && p.head_size == 32)
    RunFloat<32>(p, row_warps);
  else if (p.data_type == DataType::kFloat32 && p.head_size == 128)
    RunFloat<128>(p, row_warps);
  else if (p.data_type == DataType::kFloat16 && p.head_size == 32)
    RunHalfTiles<__half, 32>(p, row_warps, aligned, online);
  else if (p.data_type == DataType::kBfloat16 && p.head_size == 32)
    RunHalfTiles<__nv_bfloat16, 32>(p, row_warps, aligned, online);
  else if (p.data_type == DataType::kFloat16 && p.head_size == 128)
    RunHalfTiles<__half, 128>(p, row_warps, aligned, online);
  else
    return 1;
  return 0;
}
