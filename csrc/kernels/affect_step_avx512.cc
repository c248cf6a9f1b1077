#include "affect_step_cpu.h"
#include "affect_step_tile.h"
#include "simd_avx512.h"

namespace edgeaff {

const StepKernel kStepAvx512 = StepRunner<Avx512>::Run;

}  // namespace edgeaff
