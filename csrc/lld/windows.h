// Framing: the two windows, applied and zero-padded to the size of their FFT.
#pragma once
#include "lld/constants.h"

namespace edgeaff::lld {

// Hamming, 0.54 - 0.46 cos(2 pi k / 319): frame (320) -> windowed (512), zeros behind.
void WindowShort(const float* frame, float* windowed);

// Gaussian, exp(-0.5 ((k - 479.5) / (0.4 * 479.5))^2): frame (960) -> windowed (1024), zeros behind.
void WindowLong(const float* frame, float* windowed);

}  // namespace edgeaff::lld
