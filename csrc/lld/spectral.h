// The 15 columns of spectral shape, from the magnitudes of the 20 ms window.
#pragma once
#include "lld/constants.h"
#include "lld/vector_ops.h"

namespace edgeaff::lld {

// out (15): energy 250-650 Hz, 1000-4000 Hz, roll-off 25, 50, 75, 90 %, flux, centroid, entropy, variance, skewness,
// kurtosis, slope, sharpness, harmonicity.
// magnitudes, power: (257), power float32 as squared from them; exact_power: (257) before any rounding. windowed: (320),
// what was transformed. previous: (257) magnitudes of the frame before, null in the first frame.
void SpectralShape(const VectorOps& ops, const float* magnitudes, const float* power, const double* exact_power,
                   const float* windowed, const float* previous, float* out);

}  // namespace edgeaff::lld
