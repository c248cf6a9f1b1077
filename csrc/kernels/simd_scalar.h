// One float at a time behind the interface that the tiled kernels use; see simd_avx512.h. The form for any processor.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace edgeaff {
namespace {

struct Scalar {
  using Reg = float;
  static constexpr int kWidth = 1;
  static constexpr int kScoreRows = 4, kScoreCols = 2;
  static constexpr int kValueRows = 4, kValueCols = 2;

  static Reg Zero() { return 0.0f; }
  static Reg Set(float x) { return x; }
  static Reg Load(const float* p) { return *p; }
  static void Store(float* p, Reg x) { *p = x; }
  static Reg Broadcast(const void* p) { return *static_cast<const float*>(p); }
  static Reg Add(Reg a, Reg b) { return a + b; }
  static Reg Mul(Reg a, Reg b) { return a * b; }
  static Reg Fma(Reg a, Reg b, Reg c) { return a * b + c; }
  static Reg Max(Reg a, Reg b) { return a > b ? a : b; }
  static float ReduceAdd(Reg x) { return x; }
  static float ReduceMax(Reg x) { return x; }

  // out[i * out_stride + k] = sum of the lanes of x[i][k].
  static void ReduceAdd4x4(const Reg (&x)[4][4], float* out, int64_t out_stride) {
    for (int i = 0; i < 4; ++i) {
      for (int k = 0; k < 4; ++k) out[i * out_stride + k] = ReduceAdd(x[i][k]);
    }
  }

  static Reg Exp2(Reg x) { return std::exp2(x); }
  static Reg LoadSome(const float*, int, Reg rest) { return rest; }  // one lane has no part
  static void FillTail(float*, int, float) {}
  static void Transpose(const float* const* rows, int64_t offset, float* out, int64_t) { *out = rows[0][offset]; }

  static Reg LoadInt8(const int8_t* p) { return static_cast<float>(*p); }
  static Reg LoadBf16(const uint16_t* p) {
    const uint32_t bits = static_cast<uint32_t>(*p) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
};

}  // namespace
}  // namespace edgeaff
