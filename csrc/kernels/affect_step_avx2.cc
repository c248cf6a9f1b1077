#include "affect_step_cpu.h"
#include "affect_step_tile.h"
#include "simd_avx2.h"

namespace edgeaff {

const StepKernel kStepAvx2 = StepRunner<Avx2>::Run;

}  // namespace edgeaff
