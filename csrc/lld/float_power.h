// The power spectrum of the 20 ms window in float32 arithmetic throughout, for decisions that rounding makes.
#pragma once
#include "lld/constants.h"

namespace edgeaff::lld {

// windowed (320) float32 -> power (257) float32. The order of additions and products is that of the peer's transform (Ooura's
// split radix, 96 zeros on either side of the window), so every bit is the peer's. About 3 us: called at ties alone.
void FloatPower(const float* windowed, float* power);

}  // namespace edgeaff::lld
