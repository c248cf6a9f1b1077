// cross_modal_attention on CUDA: both directions and their weighted sum in one launch, one block per (queries, head, batch element).
// fp16 and bf16: attention_half.cuh; fp32: attention_float.cuh. Shared memory: up to 136 KiB where the card has it (all of 128 keys
// at once), else 68 KiB. Limits: head size 16, 32, 64, 128; at most 65535 heads and 65535 batch elements.
#include <algorithm>
#include <atomic>

#include "attention_float.cuh"
#include "attention_half.cuh"
#include "edgeaff/cross_modal_attention.h"

namespace edgeaff {
namespace {

// ---- kernels -----------------------------------------------------------------------------------------------------------

template <class Traits>
__global__ void __launch_bounds__(2 * kMaxRowWarps * 32, 1)
    AttendHalfKernel(const __grid_constant__ CrossModalAttentionParams p, bool aligned) {
  AttendHalf<Traits>(p, aligned, blockDim.x / 64, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x);
}

template <class Traits>
__global__ void __launch_bounds__(2 * kMaxRowWarps * 32, 1)
    AttendFloatKernel(const __grid_constant__ CrossModalAttentionParams p) {
  AttendFloat<Traits>(p, blockDim.x / 64, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x);
}

// ---- launchers ---------------------------------------------------------------------------------------------------------

constexpr int64_t kMaxLength = (int64_t{1} << 30) - 1;

struct Device {
  int index = 0, processors = 0, shared_bytes = 0;
};

cudaError_t FindDevice(Device* device) {
  cudaError_t error = cudaGetDevice(&device->index);
  if (error != cudaSuccess) return error;
  error = cudaDeviceGetAttribute(&device->processors, cudaDevAttrMultiProcessorCount, device->index);
  if (error != cudaSuccess) return error;
  return cudaDeviceGetAttribute(&device->shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device->index);
}

// Warps of queries per direction: as many as leave a block for every processor, so that keys are loaded as rarely as possible.
int ChooseRowWarps(const CrossModalAttentionParams& p, int rows_per_warp, int processors) {
  for (int row_warps = kMaxRowWarps; row_warps > 1; row_warps /= 2) {
    const int64_t rows = static_cast<int64_t>(row_warps) * rows_per_warp;
    const int64_t blocks = (p.query_count + rows - 1) / rows * p.num_heads * p.batch;
    if (blocks >= processors && p.query_count > rows / 2) return row_warps;
  }
  return 1;
}

template <auto kKernel, class... Arguments>
cudaError_t Launch(const CrossModalAttentionParams& p, const Device& device, int rows_per_warp, int row_warps,
                   int shared_bytes, cudaStream_t stream, Arguments... arguments) {
  // More than 48 KiB must be asked for once per kernel and device.
  static std::atomic<uint64_t> asked{0};
  const uint64_t bit = uint64_t{1} << (device.index % 64);
  if (shared_bytes > 48 * 1024 && (asked.load() & bit) == 0) {
    const cudaError_t error = cudaFuncSetAttribute(kKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
    if (error != cudaSuccess) return error;
    asked.fetch_or(bit);
  }
  const int64_t rows = static_cast<int64_t>(rows_per_warp) * row_warps;
  const dim3 grid(static_cast<unsigned>((p.query_count + rows - 1) / rows), static_cast<unsigned>(p.num_heads),
                  static_cast<unsigned>(p.batch));
  kKernel<<<grid, 64 * row_warps, shared_bytes, stream>>>(p, arguments...);
  return cudaGetLastError();
}

bool RowsAligned(const AttentionModality& m) {
  return reinterpret_cast<uintptr_t>(m.key_value) % 16 == 0 && m.key_value_batch_stride % 8 == 0 &&
         m.key_value_time_stride % 8 == 0;
}

template <class T, int kHead>
cudaError_t LaunchHalf(const CrossModalAttentionParams& p, const Device& device, cudaStream_t stream) {
  const bool aligned = RowsAligned(p.audio) && RowsAligned(p.video);
  const int row_warps = ChooseRowWarps(p, 16, device.processors);
  using OnePass = HalfTraits<T, kHead, 128, 1>;
  if (p.key_count <= OnePass::kTile && OnePass::kSharedBytes <= device.shared_bytes) {
    return Launch<AttendHalfKernel<OnePass>>(p, device, 16, row_warps, OnePass::kSharedBytes, stream, aligned);
  }
  using Online = HalfTraits<T, kHead, 32, 2>;
  return Launch<AttendHalfKernel<Online>>(p, device, 16, row_warps, Online::kSharedBytes, stream, aligned);
}

template <int kHead>
cudaError_t LaunchForHead(const CrossModalAttentionParams& p, const Device& device, cudaStream_t stream) {
  using Float = FloatTraits<kHead>;
  switch (p.data_type) {
    case DataType::kFloat16: return LaunchHalf<__half, kHead>(p, device, stream);
    case DataType::kBfloat16: return LaunchHalf<__nv_bfloat16, kHead>(p, device, stream);
    case DataType::kFloat32: break;
  }
  const int row_warps = ChooseRowWarps(p, Float::kRows, device.processors);
  return Launch<AttendFloatKernel<Float>>(p, device, Float::kRows, row_warps, Float::SharedBytes(kMaxRowWarps), stream);
}

}  // namespace

cudaError_t CrossModalAttentionCuda(const CrossModalAttentionParams& params, cudaStream_t stream) {
  if (params.num_heads < 1 || params.num_heads > 65535 || params.batch > 65535 || params.key_count < 0 ||
      params.band < 0 || params.key_count > kMaxLength || params.query_count > kMaxLength || params.band > kMaxLength) {
    return cudaErrorInvalidValue;
  }
  if (params.batch <= 0 || params.query_count <= 0) return cudaSuccess;
  Device device;
  const cudaError_t error = FindDevice(&device);
  if (error != cudaSuccess) return error;
  switch (params.head_size) {
    case 16: return LaunchForHead<16>(params, device, stream);
    case 32: return LaunchForHead<32>(params, device, stream);
    case 64: return LaunchForHead<64>(params, device, stream);
    case 128: return LaunchForHead<128>(params, device, stream);
    default: return cudaErrorInvalidValue;
  }
}

}  // namespace edgeaff
