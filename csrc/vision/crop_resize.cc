// See crop_resize.h. Here: weight tables, the scalar kernels, the run-time choice, color.
#include "vision/crop_resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "edgeaff/cpu_features.h"
#include "vision/crop_resize_kernels.h"

namespace edgeaff {
namespace crop_resize {
namespace {

constexpr int kOne = 1 << kWeightBits;
constexpr int kMaxSize = 16384;

int Quantize(double weight) { return static_cast<int>(std::floor(weight * kOne + 0.5)); }

int Clamp(double value, int high) {
  return static_cast<int>(std::min(std::max(value, 0.0), static_cast<double>(high)));
}

// Weights of one output index, in a buffer that is reused: no allocation per index.
struct Taps {
  int first = 0;
  std::vector<int> weights;
};

// Output index j covers [a, b) of the source. Shrinking: pixel i weighs the share of [a, b) that it covers, written as the
// difference of the rounded cumulative share, so that weights sum to kOne and rounding never drifts. Any rest that lies
// outside the image falls to the edge pixel.
void TapsOf(double start, double step, int j, int source_size, Taps* taps) {
  const int high = source_size - 1;
  taps->weights.clear();
  if (step < 1.0) {
    const double center = start + (j + 0.5) * step - 0.5;
    const double left = std::floor(center);
    const int second = Quantize(center - left);
    const int first = Clamp(left, high), last = Clamp(left + 1.0, high);
    taps->first = first;
    if (first == last) {
      taps->weights.push_back(kOne);
    } else {
      taps->weights.push_back(kOne - second);
      taps->weights.push_back(second);
    }
    return;
  }
  const double a = start + j * step, b = start + (j + 1) * step;
  const int first = Clamp(std::floor(a), high), last = std::max(first, Clamp(std::ceil(b) - 1.0, high));
  taps->first = first;
  int before = 0;
  for (int i = first; i <= last; ++i) {
    const int until = i == last ? kOne : Quantize(std::min(std::max((i + 1 - a) / step, 0.0), 1.0));
    taps->weights.push_back(until - before);
    before = until;
  }
}

// NV12 has one chroma pixel for two of luma: its weights are those of the luma pixels that it serves. In place: the write
// index never overtakes the read index.
void HalveTaps(Taps* taps) {
  const int first = taps->first / 2;
  size_t used = 0;
  for (size_t k = 0; k < taps->weights.size(); ++k) {
    const size_t index = (taps->first + k) / 2 - first;
    const int weight = taps->weights[k];
    if (index == used) {
      taps->weights[used++] = weight;
    } else {
      taps->weights[index] += weight;
    }
  }
  taps->weights.resize(used);
  taps->first = first;
}

AxisTable MakeTable(double start, double end, int size, int source_size, bool halve) {
  AxisTable table;
  const double step = (end - start) / size;
  const int most = static_cast<int>(std::min(std::ceil(std::max(step, 1.0)) + 1.0, static_cast<double>(source_size)));
  table.stride = (most + 7) / 8 * 8;
  table.weights.assign(static_cast<size_t>(table.stride) * size, 0);
  table.first.resize(size);
  table.count.resize(size);
  Taps taps;
  for (int j = 0; j < size; ++j) {
    TapsOf(start, step, j, source_size, &taps);
    if (halve) HalveTaps(&taps);
    table.first[j] = taps.first;
    table.count[j] = static_cast<int32_t>(taps.weights.size());
    std::copy(taps.weights.begin(), taps.weights.end(),
              table.weights.begin() + static_cast<ptrdiff_t>(j) * table.stride);
  }
  return table;
}

void BlendScalar(const uint8_t* const* rows, const int16_t* weights, int count, int n, int16_t* out) {
  for (int x = 0; x < n; ++x) {
    int32_t sum = 1 << (kColumnShift - 1);
    for (int k = 0; k < count; ++k) sum += weights[k] * rows[k][x];
    out[x] = static_cast<int16_t>(sum >> kColumnShift);
  }
}

template <int C>
void FilterScalar(const int16_t* row, const AxisTable& table, int base, int32_t* out) {
  const int size = static_cast<int>(table.first.size());
  for (int j = 0; j < size; ++j) {
    const int16_t* weights = &table.weights[static_cast<size_t>(j) * table.stride];
    const int16_t* pixels = row + static_cast<ptrdiff_t>(table.first[j] - base) * C;
    int32_t sums[C] = {};
    for (int k = 0; k < table.count[j]; ++k) {
      for (int c = 0; c < C; ++c) sums[c] += weights[k] * pixels[k * C + c];
    }
    for (int c = 0; c < C; ++c) out[static_cast<ptrdiff_t>(j) * SumStride(C) + c] = sums[c];
  }
}

void PackPixelsScalar(const int32_t* sums, int width, uint8_t* out) {
  for (int x = 0; x < width; ++x) {
    for (int c = 0; c < 3; ++c) out[3 * x + c] = RoundSum(sums[4 * x + c]);
  }
}

void PackPlanesScalar(const int32_t* sums, int width, uint8_t* const planes[3]) {
  for (int x = 0; x < width; ++x) {
    for (int c = 0; c < 3; ++c) planes[c][x] = RoundSum(sums[4 * x + c]);
  }
}

Kernels BestKernels() {
  switch (BestInstructionSet()) {
#if defined(__x86_64__)
    case InstructionSet::kAvx512: return Avx512Kernels();
    case InstructionSet::kAvx2: return Avx2Kernels();
#elif defined(__aarch64__)
    case InstructionSet::kNeon: return NeonKernels();
#endif
    default: return ScalarKernels();
  }
}

uint8_t ToByte(int32_t value) { return static_cast<uint8_t>(std::min(std::max(value, 0), 255)); }

struct Span {
  int first, end;
};

Span SpanOf(const AxisTable& table) {
  Span span{table.first.front(), 0};
  for (size_t j = 0; j < table.first.size(); ++j) {
    span.first = std::min(span.first, table.first[j]);
    span.end = std::max(span.end, table.first[j] + table.count[j]);
  }
  return span;
}

// One plane of C interleaved channels with packed pixels, resampled row by row.
class PlaneResizer {
 public:
  PlaneResizer(const uint8_t* data, ptrdiff_t row_stride, int channels, const AxisTable& rows, const AxisTable& columns,
               const Kernels& kernels)
      : data_(data), row_stride_(row_stride), channels_(channels), rows_(rows), columns_(columns), kernels_(kernels) {
    const Span span = SpanOf(columns);
    base_ = span.first;
    bytes_ = (span.end - span.first) * channels;
    blended_.assign(static_cast<size_t>(bytes_) + columns.stride * channels + kSlack, 0);
    pointers_.resize(static_cast<size_t>(rows.stride));
    sums_.resize(columns.first.size() * SumStride(channels));
  }

  // Returns the sums (Q21) of output row y: width * SumStride(channels) values, valid until the next call.
  const int32_t* Row(int y) {
    const int count = rows_.count[y];
    const int even = count + (count & 1);
    for (int k = 0; k < even; ++k) {
      const int row = rows_.first[y] + std::min(k, count - 1);
      pointers_[k] = data_ + row * row_stride_ + static_cast<ptrdiff_t>(base_) * channels_;
    }
    const int16_t* weights = &rows_.weights[static_cast<size_t>(y) * rows_.stride];
    kernels_.blend(pointers_.data(), weights, even, bytes_, blended_.data());
    kernels_.filter[channels_ - 1](blended_.data(), columns_, base_, sums_.data());
    return sums_.data();
  }

 private:
  const uint8_t* data_;
  ptrdiff_t row_stride_;
  int channels_, base_ = 0, bytes_ = 0;
  const AxisTable& rows_;
  const AxisTable& columns_;
  Kernels kernels_;
  std::vector<int16_t> blended_;
  std::vector<const uint8_t*> pointers_;
  std::vector<int32_t> sums_;
};

// BT.601 limited range: R = 1.164 (Y - 16) + 1.596 (V - 128), ...; values in Q7, coefficients in Q13.
void Nv12Row(const int32_t* luma, const int32_t* chroma, int width, uint8_t* out) {
  constexpr int kY = 9535, kVr = 13074, kVg = 6660, kUg = 3203, kUb = 16531, kShift = 20;
  for (int x = 0; x < width; ++x) {
    const int32_t y = std::max(((luma[x] + (1 << 13)) >> 14) - 16 * 128, 0) * kY + (1 << (kShift - 1));
    const int32_t u = ((chroma[2 * x] + (1 << 13)) >> 14) - 128 * 128;
    const int32_t v = ((chroma[2 * x + 1] + (1 << 13)) >> 14) - 128 * 128;
    out[3 * x] = ToByte((y + kVr * v) >> kShift);
    out[3 * x + 1] = ToByte((y - kVg * v - kUg * u) >> kShift);
    out[3 * x + 2] = ToByte((y + kUb * u) >> kShift);
  }
}

// Writes the rows of three-channel sums, or of one channel for all three, as packed pixels or as planes.
class RowWriter {
 public:
  RowWriter(const Target& target, int width, int channels, bool swap, const Kernels& kernels)
      : target_(target), width_(width), channels_(channels), swap_(swap), kernels_(kernels) {}

  void Write(int y, const int32_t* sums) {
    uint8_t* row = target_.data + y * target_.row_stride;
    if (channels_ == 1) {
      wide_.resize(static_cast<size_t>(width_) * 4);
      for (int x = 0; x < width_; ++x) std::fill_n(&wide_[4 * static_cast<size_t>(x)], 4, sums[x]);
      sums = wide_.data();
    }
    if (target_.plane_stride != 0) {
      uint8_t* const planes[3] = {row, row + target_.plane_stride, row + 2 * target_.plane_stride};
      uint8_t* const swapped[3] = {planes[2], planes[1], planes[0]};
      kernels_.planes(sums, width_, swap_ ? swapped : planes);
      return;
    }
    kernels_.pixels(sums, width_, row);
    if (!swap_) return;
    for (int x = 0; x < width_; ++x) std::swap(row[3 * x], row[3 * x + 2]);
  }

 private:
  Target target_;
  int width_, channels_;
  bool swap_;
  Kernels kernels_;
  std::vector<int32_t> wide_;
};

// Packed pixels to planes, for a format that is converted pixel by pixel.
void SpreadRow(const uint8_t* pixels, int width, const Target& target, int y) {
  uint8_t* row = target.data + y * target.row_stride;
  for (int c = 0; c < 3; ++c) {
    for (int x = 0; x < width; ++x) row[c * target.plane_stride + x] = pixels[3 * x + c];
  }
}

// Copies what the box needs of an image whose pixels are not packed. Returns the copy; `data` then points at pixel (0, 0)
// as if the whole image had been copied.
std::vector<uint8_t> Pack(const ImageView& image, int channels, const AxisTable& rows, const AxisTable& columns,
                          const uint8_t** data, ptrdiff_t* row_stride) {
  const Span y_span = SpanOf(rows), x_span = SpanOf(columns);
  const ptrdiff_t stride = static_cast<ptrdiff_t>(x_span.end - x_span.first) * channels;
  std::vector<uint8_t> packed(static_cast<size_t>(stride) * (y_span.end - y_span.first));
  uint8_t* target = packed.data();
  for (int y = y_span.first; y < y_span.end; ++y) {
    const uint8_t* pixel = image.data + y * image.row_stride + x_span.first * image.pixel_stride;
    for (int x = x_span.first; x < x_span.end; ++x, pixel += image.pixel_stride) {
      for (int c = 0; c < channels; ++c) *target++ = pixel[c * image.channel_stride];
    }
  }
  *data = packed.data() - y_span.first * stride - static_cast<ptrdiff_t>(x_span.first) * channels;
  *row_stride = stride;
  return packed;
}

bool ValidBox(const CropBox& box) {
  for (const double value : {box.x0, box.y0, box.x1, box.y1}) {
    if (!(std::abs(value) <= kMaxCoordinate)) return false;
  }
  return box.x1 > box.x0 && box.y1 > box.y0;
}

bool ValidImage(const ImageView& image) {
  if (image.height < 1 || image.width < 1) return false;
  return image.format != PixelFormat::kNv12 ||
         (image.height % 2 == 0 && image.width % 2 == 0 && image.pixel_stride == 1);
}

}  // namespace

Kernels ScalarKernels() {
  return {BlendScalar, {FilterScalar<1>, FilterScalar<2>, FilterScalar<3>}, PackPixelsScalar, PackPlanesScalar};
}

}  // namespace crop_resize

using namespace crop_resize;  // NOLINT: the tables and kernels above are this file's own

bool CropResize(const ImageView& image, const CropBox& box, int height, int width, const Target& target) {
  if (!ValidBox(box) || !ValidImage(image) || std::min(height, width) < 1 || std::max(height, width) > kMaxSize)
    return false;
  const Kernels kernels = BestKernels();
  const AxisTable rows = MakeTable(box.y0, box.y1, height, image.height, false);
  const AxisTable columns = MakeTable(box.x0, box.x1, width, image.width, false);
  if (image.format == PixelFormat::kNv12) {
    const AxisTable chroma_rows = MakeTable(box.y0, box.y1, height, image.height, true);
    const AxisTable chroma_columns = MakeTable(box.x0, box.x1, width, image.width, true);
    const bool apart = image.chroma != nullptr;
    const uint8_t* chroma_data = apart ? image.chroma : image.data + image.height * image.row_stride;
    PlaneResizer luma(image.data, image.row_stride, 1, rows, columns, kernels);
    PlaneResizer chroma(chroma_data, apart ? image.chroma_row_stride : image.row_stride, 2, chroma_rows, chroma_columns,
                        kernels);
    std::vector<uint8_t> pixels(static_cast<size_t>(width) * 3);
    for (int y = 0; y < height; ++y) {
      uint8_t* row = target.plane_stride == 0 ? target.data + y * target.row_stride : pixels.data();
      Nv12Row(luma.Row(y), chroma.Row(y), width, row);
      if (target.plane_stride != 0) SpreadRow(row, width, target, y);
    }
    return true;
  }
  const int channels = image.format == PixelFormat::kGray ? 1 : 3;
  bool swap = image.format == PixelFormat::kBgr;
  const uint8_t* data = image.data;
  ptrdiff_t row_stride = image.row_stride;
  std::vector<uint8_t> packed;
  if (channels == 3 && image.pixel_stride == 3 && image.channel_stride == -1) {
    data -= 2;  // a reversed view of the other order: read it forward
    swap = !swap;
  } else if (image.pixel_stride != channels || (channels == 3 && image.channel_stride != 1)) {
    packed = Pack(image, channels, rows, columns, &data, &row_stride);
  }
  PlaneResizer plane(data, row_stride, channels, rows, columns, kernels);
  RowWriter writer(target, width, channels, swap, kernels);
  for (int y = 0; y < height; ++y) writer.Write(y, plane.Row(y));
  return true;
}

}  // namespace edgeaff
