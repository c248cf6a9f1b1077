// Vectors for the per-instruction-set files of this room (vector_ops_*.cc and what they include), and for nothing else.
//
// The same source is compiled once per instruction set: a file sets EDGEAFF_SIMD_BYTES (16, 32 or 64) and
// EDGEAFF_SIMD_NAMESPACE, then includes the code. Everything here lives in that namespace with internal linkage, and
// nothing from the standard library is instantiated: a function compiled for AVX-512 must never be merged with a common
// one. Loads and stores need no alignment. Multiply-add is fused where the instruction set has it, so results differ in
// the last bits between instruction sets, but never between two runs on one.
#pragma once

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace edgeaff {
namespace EDGEAFF_SIMD_NAMESPACE {

typedef float F32 __attribute__((vector_size(EDGEAFF_SIMD_BYTES)));
typedef double F64 __attribute__((vector_size(EDGEAFF_SIMD_BYTES)));
typedef float F32Unaligned __attribute__((vector_size(EDGEAFF_SIMD_BYTES), aligned(4), may_alias));
typedef double F64Unaligned __attribute__((vector_size(EDGEAFF_SIMD_BYTES), aligned(8), may_alias));

constexpr int kLanes32 = EDGEAFF_SIMD_BYTES / 4;
constexpr int kLanes64 = EDGEAFF_SIMD_BYTES / 8;

static inline F32 Load(const float* source) { return *reinterpret_cast<const F32Unaligned*>(source); }
static inline F64 Load(const double* source) { return *reinterpret_cast<const F64Unaligned*>(source); }
static inline void Store(float* target, F32 value) { *reinterpret_cast<F32Unaligned*>(target) = value; }
static inline void Store(double* target, F64 value) { *reinterpret_cast<F64Unaligned*>(target) = value; }

// a * b + c
static inline F32 MulAdd(F32 a, F32 b, F32 c) {
#if defined(__AVX512F__) && EDGEAFF_SIMD_BYTES == 64
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__) && EDGEAFF_SIMD_BYTES == 32
  return _mm256_fmadd_ps(a, b, c);
#elif defined(__aarch64__) && EDGEAFF_SIMD_BYTES == 16
  return vfmaq_f32(c, a, b);
#else
  return a * b + c;
#endif
}

static inline F64 MulAdd(F64 a, F64 b, F64 c) {
#if defined(__AVX512F__) && EDGEAFF_SIMD_BYTES == 64
  return _mm512_fmadd_pd(a, b, c);
#elif defined(__FMA__) && EDGEAFF_SIMD_BYTES == 32
  return _mm256_fmadd_pd(a, b, c);
#elif defined(__aarch64__) && EDGEAFF_SIMD_BYTES == 16
  return vfmaq_f64(c, a, b);
#else
  return a * b + c;
#endif
}

// The sum of the lanes, in a fixed tree order.
static inline float SumLanes(F32 value) {
  float lanes[kLanes32];
  Store(lanes, value);
  for (int width = kLanes32 / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

static inline double SumLanes(F64 value) {
  double lanes[kLanes64];
  Store(lanes, value);
  for (int width = kLanes64 / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

}  // namespace EDGEAFF_SIMD_NAMESPACE
}  // namespace edgeaff
