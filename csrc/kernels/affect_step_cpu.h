// What the per-instruction-set files of affect_step share.
#pragma once
#include "edgeaff/affect_step.h"

namespace edgeaff {

using StepKernel = void (*)(const StepModel& model, float* state, const float* video, const float* audio,
                            float* scratch, float* values);

extern const StepKernel kStepScalar;
#if defined(__x86_64__)
extern const StepKernel kStepAvx2, kStepAvx512;
#elif defined(__aarch64__)
extern const StepKernel kStepNeon;
#endif

}  // namespace edgeaff
