#include "lld/windows.h"

#include <cmath>

namespace edgeaff::lld {
namespace {

struct Windows {
  float hamming[kShortWindow];
  float gaussian[kLongWindow];

  Windows() {
    for (int k = 0; k < kShortWindow; ++k) {
      hamming[k] = static_cast<float>(0.54 - 0.46 * std::cos(2 * kPi * k / (kShortWindow - 1)));
    }
    const double middle = (kLongWindow - 1) / 2.0;
    for (int k = 0; k < kLongWindow; ++k) {
      const double u = (k - middle) / (0.4 * middle);
      gaussian[k] = static_cast<float>(std::exp(-0.5 * u * u));
    }
  }
};

const Windows& Tables() {
  static const Windows tables;
  return tables;
}

void Apply(const float* frame, const float* window, int size, int padded, float* windowed) {
  for (int k = 0; k < size; ++k) windowed[k] = frame[k] * window[k];
  for (int k = size; k < padded; ++k) windowed[k] = 0.0f;
}

}  // namespace

void WindowShort(const float* frame, float* windowed) {
  Apply(frame, Tables().hamming, kShortWindow, kShortFft, windowed);
}

void WindowLong(const float* frame, float* windowed) {
  Apply(frame, Tables().gaussian, kLongWindow, kLongFft, windowed);
}

}  // namespace edgeaff::lld
