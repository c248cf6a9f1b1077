// What became of the input, by cause: InputCounts in edgeaff/preprocess/inputs.py.
#pragma once
#include <cstdint>

namespace edgeaff {

struct InputCounts {
  int64_t frames_used = 0, frames_unused = 0, chunks_used = 0, chunks_unused = 0;
  int64_t frames_not_newer = 0, frames_late = 0;
  int64_t samples_overlapping = 0, samples_filled = 0, samples_not_finite = 0, samples_late = 0, rows_not_newer = 0;
  int64_t audio_restarts = 0, jumps = 0, steps_back = 0, inputs_unconfirmed = 0, inputs_before_jump = 0,
          values_rejected = 0;
};

}  // namespace edgeaff
