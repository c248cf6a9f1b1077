// 64-bit Arm NEON behind the interface that the tiled kernels use; see simd_avx512.h. Include only from *_neon.cc.
#pragma once
#include <arm_neon.h>

#include <cstdint>

namespace edgeaff {
namespace {

struct Neon {
  using Reg = float32x4_t;
  static constexpr int kWidth = 4;
  static constexpr int kScoreRows = 6, kScoreCols = 4;  // accumulators: 24 of 32 registers
  static constexpr int kValueRows = 6, kValueCols = 4;

  static Reg Zero() { return vdupq_n_f32(0.0f); }
  static Reg Set(float x) { return vdupq_n_f32(x); }
  static Reg Load(const float* p) { return vld1q_f32(p); }
  static void Store(float* p, Reg x) { vst1q_f32(p, x); }
  static Reg Broadcast(const void* p) { return vld1q_dup_f32(static_cast<const float*>(p)); }
  static Reg Add(Reg a, Reg b) { return vaddq_f32(a, b); }
  static Reg Mul(Reg a, Reg b) { return vmulq_f32(a, b); }
  static Reg Fma(Reg a, Reg b, Reg c) { return vfmaq_f32(c, a, b); }
  static Reg Max(Reg a, Reg b) { return vmaxq_f32(a, b); }
  static float ReduceAdd(Reg x) { return vaddvq_f32(x); }
  static float ReduceMax(Reg x) { return vmaxvq_f32(x); }

  // out[i * out_stride + k] = sum of the lanes of x[i][k].
  static void ReduceAdd4x4(const Reg (&x)[4][4], float* out, int64_t out_stride) {
    for (int i = 0; i < 4; ++i) {
      for (int k = 0; k < 4; ++k) out[i * out_stride + k] = ReduceAdd(x[i][k]);
    }
  }

  // 2^x for x <= 0: relative error below 2e-7; 0 below -126. Not-a-number stays so.
  static Reg Exp2(Reg x) {
    const uint32x4_t alive = vmvnq_u32(vcltq_f32(x, vdupq_n_f32(-126.0f)));
    x = vmaxq_f32(x, vdupq_n_f32(-126.0f));
    const Reg n = vrndnq_f32(x);
    const Reg f = vsubq_f32(x, n);
    Reg y = vdupq_n_f32(1.326472707e-03f);
    y = Fma(y, f, vdupq_n_f32(9.671512649e-03f));
    y = Fma(y, f, vdupq_n_f32(5.550733744e-02f));
    y = Fma(y, f, vdupq_n_f32(2.402224209e-01f));
    y = Fma(y, f, vdupq_n_f32(6.931469776e-01f));
    y = Fma(y, f, vdupq_n_f32(1.0f));
    const int32x4_t exponent = vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23);
    const Reg power = vmulq_f32(y, vreinterpretq_f32_s32(exponent));
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(power), alive));
  }

  // The first `count` lanes from memory, the others from `rest`.
  static Reg LoadSome(const float* p, int count, Reg rest) {
    float lanes[kWidth];
    vst1q_f32(lanes, rest);
    for (int i = 0; i < count; ++i) lanes[i] = p[i];
    return vld1q_f32(lanes);
  }
  static void FillTail(float* p, int from, float x) {
    for (int i = from; i < kWidth; ++i) p[i] = x;
  }

  // out[k * out_stride + w] = rows[w][k] for k, w in [0, kWidth).
  static void Transpose(const float* const* rows, int64_t offset, float* out, int64_t out_stride) {
    const float32x4x2_t ab = vtrnq_f32(vld1q_f32(rows[0] + offset), vld1q_f32(rows[1] + offset));
    const float32x4x2_t cd = vtrnq_f32(vld1q_f32(rows[2] + offset), vld1q_f32(rows[3] + offset));
    vst1q_f32(out, vcombine_f32(vget_low_f32(ab.val[0]), vget_low_f32(cd.val[0])));
    vst1q_f32(out + out_stride, vcombine_f32(vget_low_f32(ab.val[1]), vget_low_f32(cd.val[1])));
    vst1q_f32(out + 2 * out_stride, vcombine_f32(vget_high_f32(ab.val[0]), vget_high_f32(cd.val[0])));
    vst1q_f32(out + 3 * out_stride, vcombine_f32(vget_high_f32(ab.val[1]), vget_high_f32(cd.val[1])));
  }

  static Reg LoadInt8(const int8_t* p) {
    int32_t four;
    __builtin_memcpy(&four, p, 4);
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(static_cast<uint32_t>(four))))));
  }
  static Reg LoadBf16(const uint16_t* p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }
};

}  // namespace
}  // namespace edgeaff
