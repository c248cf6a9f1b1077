#include "capi/arguments.h"

#include <algorithm>
#include <cstring>

namespace edgeaff {
namespace {

constexpr int kMostSide = 16384, kMostEvents = 1 << 20, kHighestRateHz = 768'000;
constexpr double kMostSeconds = 60;

bool InRange(double value, double low, double high) { return low <= value && value <= high; }

}  // namespace

const char* ViewOf(const edgeaff_image& given, const edgeaff_options& options, ImageView* view) {
  if (given.size < sizeof(edgeaff_image)) return "image.size must be set: use EDGEAFF_INIT.";
  if (given.pixels < EDGEAFF_PIXELS_RGB || given.pixels > EDGEAFF_PIXELS_NV12)
    return "image.pixels must be an EDGEAFF_PIXELS_*.";
  if (given.planes[0] == nullptr) return "image.planes[0] must not be NULL.";
  if (given.width < 1 || given.height < 1 || given.width > kMostSide || given.height > kMostSide)
    return "image must be 1 to 16384 pixels wide and high.";
  if (static_cast<int64_t>(given.width) * given.height >
      static_cast<int64_t>(options.most_width) * options.most_height) {
    return "image must have at most most_width * most_height pixels; raise them in edgeaff_options.";
  }
  const bool color = given.pixels == EDGEAFF_PIXELS_RGB || given.pixels == EDGEAFF_PIXELS_BGR;
  const ptrdiff_t pixel = given.pixel_stride != 0 ? given.pixel_stride : (color ? 3 : 1);
  const ptrdiff_t row = given.row_stride[0] != 0 ? given.row_stride[0] : given.width * pixel;
  const ptrdiff_t channel = given.channel_stride != 0 ? given.channel_stride : 1;
  static constexpr PixelFormat kFormats[] = {PixelFormat::kRgb, PixelFormat::kBgr, PixelFormat::kGray,
                                             PixelFormat::kNv12};
  *view = {given.planes[0], given.height, given.width, row, pixel, channel, kFormats[given.pixels]};
  if (given.pixels == EDGEAFF_PIXELS_NV12) {
    if (given.width % 2 != 0 || given.height % 2 != 0 || pixel != 1)
      return "an NV12 image must have an even size and a pixel_stride of 1.";
    if (given.planes[1] != nullptr) {
      view->chroma = given.planes[1];
      view->chroma_row_stride = given.row_stride[1] != 0 ? given.row_stride[1] : given.width;
    }
  }
  return nullptr;
}

const char* CheckOptions(const edgeaff_options& options) {
  if (options.video == 0 && options.audio == 0) return "video and audio must not both be 0.";
  if (options.max_faces < 1 || options.max_faces > kMostFaces) return "max_faces must be 1 to 64.";
  if (options.detector_stride < 0 || options.detector_stride > 1000) return "detector_stride must be 0 to 1000.";
  if (options.threads != 1) return "threads must be 1.";
  if (!(options.smoothing_valence_seconds <= kMostSeconds && options.smoothing_arousal_seconds <= kMostSeconds))
    return "smoothing must be at most 60 s.";
  if (!InRange(options.staleness_seconds, 0, kMostSeconds) || !InRange(options.max_skew_seconds, 0, kMostSeconds)) {
    return "staleness_seconds and max_skew_seconds must be in [0, 60].";
  }
  if (options.event_room < 1 || options.event_room > kMostEvents) return "event_room must be 1 to 2^20.";
  if (options.most_width < 1 || options.most_height < 1 || options.most_width > kMostSide ||
      options.most_height > kMostSide) {
    return "most_width and most_height must be 1 to 16384.";
  }
  if (options.most_rate_hz < kLowestRateHz || options.most_rate_hz > kHighestRateHz)
    return "most_rate_hz must be 8000 to 768000.";
  return nullptr;
}

edgeaff_options Complete(const edgeaff_options* given) {
  edgeaff_options options{};
  options.size = sizeof(options);
  edgeaff_options_default(&options);
  if (given != nullptr) std::memcpy(&options, given, std::min<size_t>(given->size, sizeof(options)));
  options.size = sizeof(options);
  return options;
}

const char* CheckAllocator(const edgeaff_allocator* allocator) {
  if (allocator == nullptr) return nullptr;
  if (allocator->size < sizeof(edgeaff_allocator)) return "allocator.size must be set: use EDGEAFF_INIT.";
  return allocator->allocate == nullptr || allocator->release == nullptr ? "allocator must have both functions."
                                                                         : nullptr;
}

}  // namespace edgeaff
