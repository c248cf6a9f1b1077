// NEON, with and without int8 dot products; included by convolve_neon.cc and convolve_neondot.cc alone.
//
// Both multiply signed bytes: an activation u is read as u - 128, and sums start 128 * sum of the weights higher
// (Kernels::is_signed).
#pragma once
#include <arm_neon.h>

#include "nets/convolve_tiles.h"
#include "nets/luminance.h"

namespace edgeaff::nets {
namespace {

EDGEAFF_INLINE int8x16_t LoadSigned(const uint8_t* p) {
  return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p), vdupq_n_u8(0x80)));
}

// What happens to the sums of 16 outputs, four registers, after all products.
struct NeonRounding {
  static EDGEAFF_INLINE int32x4_t Round(int32x4_t sum, const float* scale, int32_t zero) {
    return vaddq_s32(vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sum), vld1q_f32(scale))), vdupq_n_s32(zero));
  }

  static EDGEAFF_INLINE int32x4_t Clamp(int32x4_t q) {
    return vminq_s32(vmaxq_s32(q, vdupq_n_s32(0)), vdupq_n_s32(255));
  }

  // q before clamping and four bytes of the second operand, as whole numbers -> whole numbers that Store clamps.
  static EDGEAFF_INLINE int32x4_t Combine(int32x4_t q, uint32x4_t bytes, const Second& second) {
    const float32x4_t own = vcvtq_f32_s32(Clamp(q)), other = vcvtq_f32_u32(bytes);
    const float32x4_t a = vdupq_n_f32(second.own), b = vdupq_n_f32(second.factor), c = vdupq_n_f32(second.constant);
    return vcvtnq_s32_f32(second.is_first ? vfmaq_f32(vfmaq_f32(c, own, a), other, b)
                                          : vfmaq_f32(vfmaq_f32(c, other, b), own, a));
  }

  static EDGEAFF_INLINE void Store(const int32x4_t (&q)[4], uint8_t* out) {
    const int16x8_t low = vcombine_s16(vqmovn_s32(q[0]), vqmovn_s32(q[1])),
                    high = vcombine_s16(vqmovn_s32(q[2]), vqmovn_s32(q[3]));
    vst1q_u8(out, vcombine_u8(vqmovun_s16(low), vqmovun_s16(high)));
  }

  static EDGEAFF_INLINE void Bytes(int32x4_t (&sums)[4], const Block& block, const uint8_t* second, uint8_t* out) {
    EDGEAFF_FOR(j, 4, { sums[j] = Round(sums[j], block.scale + 4 * j, block.zero); });
    if (second != nullptr) {
      const uint8x16_t bytes = vld1q_u8(second);
      const uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_u8(vget_high_u8(bytes));
      sums[0] = Combine(sums[0], vmovl_u16(vget_low_u16(low)), block.second);
      sums[1] = Combine(sums[1], vmovl_u16(vget_high_u16(low)), block.second);
      sums[2] = Combine(sums[2], vmovl_u16(vget_low_u16(high)), block.second);
      sums[3] = Combine(sums[3], vmovl_u16(vget_high_u16(high)), block.second);
    }
    Store(sums, out);
  }

  static EDGEAFF_INLINE void Image(const int32x4_t (&high)[4], const int32x4_t (&low)[4], const Block& block,
                                   uint8_t* out) {
    int32x4_t q[4];
    EDGEAFF_FOR(j, 4, { q[j] = Round(vaddq_s32(vshlq_n_s32(high[j], 7), low[j]), block.scale + 4 * j, block.zero); });
    Store(q, out);
  }

  static EDGEAFF_INLINE void Map(const int32x4_t (&high)[4], const int32x4_t (&middle)[4], const int32x4_t (&low)[4],
                                 const Block& block, uint8_t* out) {
    auto* const floats = reinterpret_cast<float*>(out);
    EDGEAFF_FOR(j, 4, {
      const float32x4_t fine = vcvtq_f32_s32(vaddq_s32(vshlq_n_s32(middle[j], 7), low[j]));
      const float32x4_t sum = vfmaq_f32(fine, vcvtq_f32_s32(high[j]), vdupq_n_f32(16384.0f));
      vst1q_f32(floats + 4 * j, vfmaq_f32(vld1q_f32(block.offset + 4 * j), sum, vld1q_f32(block.scale + 4 * j)));
    });
  }
};

}  // namespace
}  // namespace edgeaff::nets
