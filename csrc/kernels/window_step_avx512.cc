#include "simd_avx512.h"
#include "window_step_cpu.h"
#include "window_step_tile.h"

namespace edgeaff {

const WindowKernel kWindowAvx512{WindowRunner<Avx512, PlainDot>::Append, WindowRunner<Avx512, PlainDot>::Step};

}  // namespace edgeaff
