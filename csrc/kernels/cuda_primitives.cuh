// The few instructions that the attention kernels use beyond plain CUDA, each as one function. With EDGEAFF_EMULATE_CUDA they (and
// threads, barriers and shuffles) come from tests/cpp/emulation/cuda_emulation.h, so that the very same kernels run on the host, slowly.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#ifdef EDGEAFF_EMULATE_CUDA
#include "cuda_emulation.h"
#else

namespace edgeaff {

__device__ __forceinline__ void CopyAsync16(void* shared, const void* global, bool exists) {
  const uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = exists ? 16 : 0;  // the rest of the 16 is filled with zeros
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(global), "r"(bytes) : "memory");
}

__device__ __forceinline__ void CommitCopies() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }

// Waits until at most kPending of this thread's latest groups are still under way.
template <int kPending>
__device__ __forceinline__ void WaitCopies() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
}

// Four 8x8 matrices of 16-bit elements; lane l names row l % 8 of matrix l / 8 (16 bytes). Without transposition lane l gets
// elements (l / 4, 2 (l % 4)) and the next one of each matrix; with it, elements (2 (l % 4), l / 4) and (2 (l % 4) + 1, l / 4).
template <bool kTranspose>
__device__ __forceinline__ void LoadMatrices(uint32_t (&out)[4], const void* row) {
  const uint32_t from = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  if (kTranspose) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(from)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(from)
                 : "memory");
  }
}

// c (16x8, fp32) += a (16x16) b (16x8).
__device__ __forceinline__ void MultiplyAccumulate(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                                                   __half) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void MultiplyAccumulate(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                                                   __nv_bfloat16) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ float ShuffleXor(float value, int mask) { return __shfl_xor_sync(0xFFFFFFFFu, value, mask); }
__device__ __forceinline__ void SyncBlock() { __syncthreads(); }
__device__ __forceinline__ void SyncWarp() { __syncwarp(); }
// 2^x; 0 for minus infinity. Relative error 2^-22 (CUDA C programming guide, ex2.approx).
__device__ __forceinline__ float FastExp2(float x) { return exp2f(x); }

extern __shared__ __align__(16) unsigned char shared_memory[];
__device__ __forceinline__ unsigned char* SharedMemory() { return shared_memory; }

}  // namespace edgeaff
#endif

namespace edgeaff {

__device__ __forceinline__ float ToFloat(float x) { return x; }
__device__ __forceinline__ float ToFloat(__half x) { return __half2float(x); }
__device__ __forceinline__ float ToFloat(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ __forceinline__ void FromFloat(float x, float* to) { *to = x; }
__device__ __forceinline__ void FromFloat(float x, __half* to) { *to = __float2half_rn(x); }
__device__ __forceinline__ void FromFloat(float x, __nv_bfloat16* to) { *to = __float2bfloat16_rn(x); }

// Two values side by side in one register, the first in the low half.
template <class T>
__device__ __forceinline__ uint32_t Pack(float low, float high) {
  T pair[2];
  FromFloat(low, &pair[0]);
  FromFloat(high, &pair[1]);
  uint16_t bits[2];
  memcpy(bits, pair, 4);
  return static_cast<uint32_t>(bits[0]) | (static_cast<uint32_t>(bits[1]) << 16);
}

template <class T>
__device__ __forceinline__ uint32_t LoadPair(const T* from) {
  uint16_t bits[2];
  memcpy(&bits[0], from, 2);
  memcpy(&bits[1], from + 1, 2);
  return static_cast<uint32_t>(bits[0]) | (static_cast<uint32_t>(bits[1]) << 16);
}

}  // namespace edgeaff
