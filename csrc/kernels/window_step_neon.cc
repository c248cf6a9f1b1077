#include "simd_neon.h"
#include "window_step_cpu.h"
#include "window_step_tile.h"

namespace edgeaff {

const WindowKernel kWindowNeon{WindowRunner<Neon, PlainDot>::Append, WindowRunner<Neon, PlainDot>::Step};

}  // namespace edgeaff
