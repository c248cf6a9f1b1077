// The 26 mel bands and what is made of them: auditory spectrum, RASTA, MFCC.
#pragma once
#include "lld/constants.h"
#include "lld/vector_ops.h"

namespace edgeaff::lld {

// Power in 26 triangular bands, equidistant in mel from 20 Hz to 8 kHz. power: (257) -> bands (26).
void MelBands(const float* power, float* bands);

// ln max(band, 9.3e-10), (26) -> (26).
void LogBands(const VectorOps& ops, const float* bands, double* logs);

// Mean over the bands of (band * equal loudness)^0.33, from the logarithms.
float AuditoryLength(const VectorOps& ops, const double* logs);

// Liftered cepstral coefficients 1 to 14, from the logarithms: logs (26) -> coefficients (14).
void Mfcc(const VectorOps& ops, const double* logs, float* coefficients);

// RASTA: a band-pass over time (1 to 29 Hz) on the logarithm of each band. Feeds back from the sixth frame on; until
// then its output is 0. Transposed direct form, 5 taps, one pole.
class RastaFilter {
 public:
  RastaFilter() { Reset(); }
  void Reset();

  // logs (26) of the next frame -> bands (26): exp(0.33 (filtered + ln equal loudness)).
  void Step(const VectorOps& ops, const double* logs, float* bands);

 private:
  double z_[4][kBands];
  int frames_;  // counts to kWarmUp, then stays
};

}  // namespace edgeaff::lld
