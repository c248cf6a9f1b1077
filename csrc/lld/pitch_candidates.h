// Subharmonic summation: the six likeliest pitches of a 60 ms frame.
#pragma once
#include "lld/constants.h"
#include "lld/vector_ops.h"

namespace edgeaff::lld {

// Highest score first, the others in the order of their peaks' heights; unused places are 0.
struct PitchCandidates {
  float frequency_hz[kCandidates];  // within 52..620 Hz
  float voicing[kCandidates];       // 1 - mean / score, 0..1
  float score[kCandidates];
};

// octaves: (513), see octave_spectrum.h.
PitchCandidates FindPitchCandidates(const VectorOps& ops, const float* octaves);

}  // namespace edgeaff::lld
