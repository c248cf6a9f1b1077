// The contract between the executor (conv_net.cc) and the kernels of each instruction set: one layer of an int8
// network.
//
// Activations are unsigned bytes, channels last. Every tensor has a border of one pixel that holds its zero point, so
// kernels see no edges. The pixels under one kernel row are adjacent in memory: a run of (kernel width * channels)
// bytes.
//
//   sum(o) = bias(o) + sum over kernel rows and runs of in * weight(o)          exact, int32
//   q(o)   = clamp(round(float(sum) * scale(o)) + zero)                         to a byte; round: half to even
//   out(o) = q(o), or with a second operand (residual, upsampled map):
//            clamp(round(own * q + factor * second + constant))                 two fused multiply-adds, order below
//
// Weights are 7-bit (-64 .. 64), so a pair of products fits in int16 and AVX2 cannot saturate. They are packed in units
// of 64 bytes, 16 outputs by 4 bytes of a run: [block][kernel row][run / 4][group within the block][16][4].
#pragma once
#include <cstddef>
#include <cstdint>

namespace edgeaff::nets {

constexpr int kGroup = 16;        // outputs of a unit
constexpr int kUnitBytes = 64;    // 16 outputs by 4 inputs
constexpr int kRunMultiple = 16;  // run lengths are multiples of this
constexpr int kMostGroups = 5;    // groups of a block, over all instruction sets
constexpr int kReadSlack = 64;    // readable bytes behind a tensor

constexpr int kImageTaps = 27;  // 3 kernel rows, 3 planes, 3 columns: tap (row * 3 + plane) * 3 + column
constexpr int kImageRun = 32;   // the taps of one pixel as a run of bytes, padded
constexpr int kTapGroups = 7;   // the taps of one pixel as groups of four, see ImageTap

// The tap at place t of 4 * kTapGroups, -1 for none: three taps of source t / 4 and one of source 6 or 7 make a group
// of four; source = row * 3 + plane. The last group is three taps of source 8.
constexpr int ImageTap(int t) {
  const int group = t / 4, place = t % 4;
  if (group == 6) return place < 3 ? 24 + place : -1;
  return place < 3 ? 3 * group + place : 3 * (6 + group / 3) + group % 3;
}

enum class Form {
  kBytes,  // sums to bytes as above
  kImage,  // two groups, weights 128 * high + low: 16 bytes a pixel. start holds both halves of the bias
  kMap,  // three groups, weights 16384 * high + 128 * middle + low: 16 floats a pixel, float(sum) * scale + offset with
         // float(sum) = fma(float(high), 16384, float(128 * middle + low))
};

// The second operand of a quantized sum. data == nullptr: there is none.
struct Second {
  const uint8_t* data = nullptr;  // at the first output pixel, first output of the block
  ptrdiff_t row = 0, pixel = 0;   // bytes
  int shift = 0;                  // 1: half the resolution; output pixel (x, y) reads (x / 2, y / 2)
  bool is_first = false;  // false: own * q + (factor * second + constant); true: factor * second + (own * q + constant)
  float own = 0, factor = 0, constant = 0;
};

// All rows and columns of an output, for one block of outputs.
struct Block {
  Form form = Form::kBytes;
  const uint8_t* in = nullptr;         // first byte of the run under the upper left output
  ptrdiff_t in_row = 0, in_pixel = 0;  // bytes from the run of one output to that of the output below, beside
  ptrdiff_t tap_row = 0;               // bytes from one kernel row to the next
  int kernel_rows = 0, run_bytes = 0;
  const int8_t* weights = nullptr;  // aligned to 64 bytes
  const int32_t* start = nullptr;   // (16 * groups): initial sums
  const float* scale = nullptr;     // kBytes: (16 * groups); else (16)
  const float* offset = nullptr;    // kMap: (16)
  int32_t zero = 0;
  int groups = 0;
  uint8_t* out = nullptr;                // at the first output pixel, first output of the block
  ptrdiff_t out_row = 0, out_pixel = 0;  // bytes
  int rows = 0, columns = 0;
  Second second;
};

// One output row of the image layer (3x3, stride 2, three uint8 planes to 16 channels), for kernels that skip the copy
// into runs. Weights and rounding as Form::kImage.
struct ImageRow {
  const uint8_t* rows[3][3];        // [kernel row][plane] at column 0; a row of zeros above the image
  int columns = 0;                  // of the output, a multiple of 16
  const int8_t* weights = nullptr;  // (16, 2, 28): [output][high, low][tap], taps in the order of ImageTap
  const int32_t* start = nullptr;   // (32): high, low
  const float* scale = nullptr;     // (16)
  int32_t zero = 0;
  uint8_t* out = nullptr;  // (columns, 16)
};

// One output row of a 3x3 convolution (stride 1) of one channel, for kernels that skip the copy into runs. Rounding as
// Form::kBytes.
struct ThinRow {
  const uint8_t* rows[3];           // at the column left of the first output
  int columns = 0;                  // a multiple of 16
  const int8_t* weights = nullptr;  // (outputs, 12): [output][kernel row][three taps, 0]
  const int32_t* start = nullptr;   // (outputs)
  const float* scale = nullptr;     // (outputs)
  int32_t zero = 0;
  int outputs = 0;         // a multiple of 16
  uint8_t* out = nullptr;  // (columns, outputs)
};

// Two rows of RGB pixels -> luminance of each 2x2 square in quarters of a gray level, around 0: see luminance.h.
struct LuminanceRow {
  const uint8_t *top = nullptr, *bottom = nullptr;  // 2 * columns RGB pixels
  int columns = 0;
  const uint8_t* weights = nullptr;  // (3): R, G, B; their sum is 64
  int16_t* out = nullptr;
};

// Luminance -> bytes of zero mean and unit variance: see luminance.h.
struct Standardization {
  const int16_t* levels = nullptr;  // (rows, columns)
  int rows = 0, columns = 0;
  float epsilon = 0, step = 0;  // added to the variance; of the bytes
  int zero = 0;
  uint8_t* out = nullptr;
  ptrdiff_t out_row = 0;
};

struct Kernels {
  const char* name;
  int most_groups;  // of a kBytes block, at most kMostGroups
  void (*convolve)(const Block& block);
  void (*image_row)(const ImageRow& row);  // nullptr: the executor copies runs and calls convolve
  void (*thin_row)(const ThinRow& row);    // nullptr likewise
  void (*luminance_row)(const LuminanceRow& row);
  void (*standardize)(const Standardization& all);
  int64_t (*roof)(int64_t repeats);  // a loop of nothing but products; returns their number of multiply-adds
  bool is_signed = false;            // activations are read as u - 128: the executor adds 128 * sum of the
                                     // weights to `start`
};

extern const Kernels kScalarKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels, kAvx512VnniKernels;
#elif defined(__aarch64__)
extern const Kernels kNeonKernels, kNeonDotKernels;
#endif

// The kernels of the best instruction set that the processor has and the limit in cpu_features.h allows.
const Kernels& BestKernels();

}  // namespace edgeaff::nets
