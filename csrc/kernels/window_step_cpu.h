// What the per-instruction-set files of window_step share.
#pragma once
#include "edgeaff/window_step.h"

namespace edgeaff {

struct WindowKernel {
  void (*append)(const WindowStepModel& model, const float* video, const float* audio, char* scratch, float* row);
  void (*step)(const WindowStepModel& model, const float* const* rows, const float* video, const float* audio,
               int threads, char* scratch, float* row, float* values);
};

extern const WindowKernel kWindowScalar;
#if defined(__x86_64__)
extern const WindowKernel kWindowAvx2, kWindowAvx512, kWindowAvx512Vnni;
#elif defined(__aarch64__)
extern const WindowKernel kWindowNeon;
#endif

}  // namespace edgeaff
