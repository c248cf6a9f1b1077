#include "simd_avx2.h"
#include "window_step_cpu.h"
#include "window_step_tile.h"

namespace edgeaff {

const WindowKernel kWindowAvx2{WindowRunner<Avx2, PlainDot>::Append, WindowRunner<Avx2, PlainDot>::Step};

}  // namespace edgeaff
