// crop_resize, thumbnail and decoding: every instruction set gives the bytes of the scalar one; memory is exactly as large as needed.
#include <cstdint>
#include <cstdio>
#include <vector>

#include "check.h"
#include "edgeaff/cpu_features.h"
#include "vision/crop_resize.h"
#include "vision/decode_maps.h"
#include "vision/thumbnail.h"

namespace {

std::vector<uint8_t> Noise(size_t size) {
  std::vector<uint8_t> bytes(size);
  uint32_t state = 1;
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>((state = state * 1664525u + 1013904223u) >> 24);
  return bytes;
}

std::vector<uint8_t> Crop(const edgeaff::ImageView& image, const edgeaff::CropBox& box, int height, int width,
                          bool planes) {
  std::vector<uint8_t> out(static_cast<size_t>(height) * width * 3);
  const ptrdiff_t plane = static_cast<ptrdiff_t>(height) * width;
  const edgeaff::Target target{out.data(), planes ? width : 3 * width, planes ? plane : 0};
  CHECK(edgeaff::CropResize(image, box, height, width, target));
  return out;
}

void TestCrops() {
  constexpr int kHeight = 72, kWidth = 98;
  const edgeaff::CropBox boxes[] = {
      {10.3, 7.9, 61.2, 58.8}, {-20.5, -9.25, 130.0, 70.5}, {0, 0, 98, 72}, {30, 20, 47, 37}};
  for (const auto format : {edgeaff::PixelFormat::kRgb, edgeaff::PixelFormat::kBgr, edgeaff::PixelFormat::kGray,
                            edgeaff::PixelFormat::kNv12}) {
    const bool packed = format == edgeaff::PixelFormat::kRgb || format == edgeaff::PixelFormat::kBgr;
    const int channels = packed ? 3 : 1, rows = format == edgeaff::PixelFormat::kNv12 ? kHeight * 3 / 2 : kHeight;
    const std::vector<uint8_t> data = Noise(static_cast<size_t>(rows) * kWidth * channels);
    const edgeaff::ImageView image{data.data(), kHeight, kWidth, kWidth * channels, channels, 1, format};
    for (const edgeaff::CropBox& box : boxes) {
      for (const int width : {1, 7, 17, 49, 96}) {
        const int height = width == 49 ? 36 : width;
        CHECK(edgeaff::SetInstructionSetLimit("scalar"));
        const std::vector<uint8_t> pixels = Crop(image, box, height, width, false);
        for (const char* name : {"scalar", "neon", "avx2", "best"}) {
          CHECK(edgeaff::SetInstructionSetLimit(name));
          CHECK(Crop(image, box, height, width, false) == pixels);
          const std::vector<uint8_t> planes = Crop(image, box, height, width, true);
          const size_t count = static_cast<size_t>(height) * width;
          for (size_t i = 0; i < count; ++i) {
            for (size_t c = 0; c < 3; ++c) CHECK(planes[c * count + i] == pixels[3 * i + c]);
          }
        }
      }
    }
  }
}

void TestThumbnail() {
  const std::vector<uint8_t> gray(480 * 640 * 3, 100);
  std::vector<float> out(32 * 32);
  edgeaff::GrayThumbnail(gray.data(), 480, 640, 640 * 3, 3, 1, out.data());
  for (const float value : out) CHECK(value == 100.0f);
  edgeaff::GrayThumbnail(gray.data(), 1, 1, 3, 3, 1, out.data());
  for (const float value : out) CHECK(value == 100.0f);
}

void TestDecoding() {
  std::vector<float> fine(15 * 4 * 6, 0.0f), coarse(15 * 2 * 3, 0.0f);
  for (int i = 0; i < 24; ++i) fine[i] = -9.0f;
  for (int i = 0; i < 6; ++i) coarse[i] = -9.0f;
  fine[1 * 6 + 2] = 3.0f;  // row 1, column 2: center (20, 12)
  const edgeaff::DetectorMap maps[] = {{fine.data(), 4, 6, 8, 24, 1}, {coarse.data(), 2, 3, 16, 6, 1}};
  const edgeaff::DecodeRules rules{0.0f, 1.0f, 400, 0.3f, 0.6f};
  const auto faces = edgeaff::DecodeMaps(maps, 2, rules);
  CHECK(faces.size() == 1);
  const float expected[] = {16, 8, 24, 16};
  for (int k = 0; k < 4; ++k) CHECK(faces[0].box[k] == expected[k]);
  CHECK(faces[0].points[0] == 20 && faces[0].points[1] == 12);
  CHECK(edgeaff::DecodeMaps(maps, 2, {4.0f, 1.0f, 400, 0.3f, 0.6f}).empty());
}

}  // namespace

int main() {
  TestCrops();
  TestThumbnail();
  TestDecoding();
  std::printf("vision: all checks hold\n");
  return 0;
}
