#include "affect_step_cpu.h"
#include "affect_step_tile.h"
#include "simd_neon.h"

namespace edgeaff {

const StepKernel kStepNeon = StepRunner<Neon>::Run;

}  // namespace edgeaff
