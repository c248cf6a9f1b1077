// crop_resize for NEON: 16 bytes of a row at a time down the columns; along the row one lane per channel.
#include <arm_neon.h>

#include "vision/crop_resize_kernels.h"

namespace edgeaff::crop_resize {
namespace {

void BlendNeon(const uint8_t* const* rows, const int16_t* weights, int count, int n, int16_t* out) {
  int x = 0;
  for (; x + 16 <= n; x += 16) {
    int32x4_t sums[4];
    for (int32x4_t& sum : sums) sum = vdupq_n_s32(1 << (kColumnShift - 1));
    for (int k = 0; k < count; ++k) {
      const uint8x16_t bytes = vld1q_u8(rows[k] + x);
      const int16x8_t low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes)));
      const int16x8_t high = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(bytes)));
      sums[0] = vmlal_n_s16(sums[0], vget_low_s16(low), weights[k]);
      sums[1] = vmlal_n_s16(sums[1], vget_high_s16(low), weights[k]);
      sums[2] = vmlal_n_s16(sums[2], vget_low_s16(high), weights[k]);
      sums[3] = vmlal_n_s16(sums[3], vget_high_s16(high), weights[k]);
    }
    vst1q_s16(out + x, vcombine_s16(vshrn_n_s32(sums[0], kColumnShift), vshrn_n_s32(sums[1], kColumnShift)));
    vst1q_s16(out + x + 8, vcombine_s16(vshrn_n_s32(sums[2], kColumnShift), vshrn_n_s32(sums[3], kColumnShift)));
  }
  for (; x < n; ++x) {
    int32_t sum = 1 << (kColumnShift - 1);
    for (int k = 0; k < count; ++k) sum += weights[k] * rows[k][x];
    out[x] = static_cast<int16_t>(sum >> kColumnShift);
  }
}

template <int C>
void FilterNeon(const int16_t* row, const AxisTable& table, int base, int32_t* out) {
  const int size = static_cast<int>(table.first.size());
  for (int j = 0; j < size; ++j) {
    const int16_t* weights = &table.weights[static_cast<size_t>(j) * table.stride];
    const int16_t* pixels = row + C * static_cast<ptrdiff_t>(table.first[j] - base);
    int32x4_t sum = vdupq_n_s32(0);
    if constexpr (C == 1) {
      for (int k = 0; k < table.count[j]; k += 4) sum = vmlal_s16(sum, vld1_s16(pixels + k), vld1_s16(weights + k));
      out[j] = vaddvq_s32(sum);
    } else {
      // Lanes behind the channels hold the next pixel's values; they are summed and thrown away.
      for (int k = 0; k < table.count[j]; ++k) sum = vmlal_n_s16(sum, vld1_s16(pixels + C * k), weights[k]);
      if (C == 3) {
        vst1q_s32(out + 4 * static_cast<ptrdiff_t>(j), sum);
      } else {
        vst1_s32(out + C * j, vget_low_s32(sum));
      }
    }
  }
}

// Eight sums of one channel as bytes.
inline uint8x8_t RoundEight(int32x4_t low, int32x4_t high) {
  const int32x4_t half = vdupq_n_s32(1 << (kRowShift - 1));
  const int32x4_t a = vshrq_n_s32(vaddq_s32(low, half), kRowShift), b = vshrq_n_s32(vaddq_s32(high, half), kRowShift);
  return vqmovun_s16(vcombine_s16(vmovn_s32(a), vmovn_s32(b)));
}

void PackPixelsNeon(const int32_t* sums, int width, uint8_t* out) {
  int x = 0;
  for (; x + 8 <= width; x += 8) {
    const int32x4x4_t low = vld4q_s32(sums + 4 * x), high = vld4q_s32(sums + 4 * (x + 4));
    uint8x8x3_t bytes;
    for (int c = 0; c < 3; ++c) bytes.val[c] = RoundEight(low.val[c], high.val[c]);
    vst3_u8(out + 3 * x, bytes);
  }
  for (; x < width; ++x) {
    for (int c = 0; c < 3; ++c) out[3 * x + c] = RoundSum(sums[4 * x + c]);
  }
}

void PackPlanesNeon(const int32_t* sums, int width, uint8_t* const planes[3]) {
  int x = 0;
  for (; x + 8 <= width; x += 8) {
    const int32x4x4_t low = vld4q_s32(sums + 4 * x), high = vld4q_s32(sums + 4 * (x + 4));
    for (int c = 0; c < 3; ++c) vst1_u8(planes[c] + x, RoundEight(low.val[c], high.val[c]));
  }
  for (; x < width; ++x) {
    for (int c = 0; c < 3; ++c) planes[c][x] = RoundSum(sums[4 * x + c]);
  }
}

}  // namespace

Kernels NeonKernels() {
  return {BlendNeon, {FilterNeon<1>, FilterNeon<2>, FilterNeon<3>}, PackPixelsNeon, PackPlanesNeon};
}

}  // namespace edgeaff::crop_resize
