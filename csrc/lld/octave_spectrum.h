// From the magnitudes of the 60 ms window to a spectrum on an axis of equal steps in octaves.
#pragma once
#include "lld/constants.h"
#include "lld/vector_ops.h"

namespace edgeaff::lld {

// The axis: point j lies at 2^(kLowestOctave + j step) Hz, from 25 Hz to the last bin.
struct OctaveAxis {
  double lowest;             // log2 of 25 Hz
  double step;               // octaves between two points
  double points_per_octave;  // 513 / (highest - lowest); by definition not 1 / step
};
const OctaveAxis& GetOctaveAxis();

// Keeps what is near a peak, smooths, interpolates with a natural cubic spline, clips at 0 and fades out what lies
// below about 65 Hz. magnitudes: (513) -> octaves (513).
void OctaveSpectrum(const VectorOps& ops, const float* magnitudes, float* octaves);

}  // namespace edgeaff::lld
