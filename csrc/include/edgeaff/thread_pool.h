// A small pool for the CPU kernels: workers start on first use, sleep between calls and live until the process ends.
#pragma once
#include <cstdint>

namespace edgeaff {

// Calls task(context, index, worker) once for every index in [0, count), on `threads` threads, this one included.
// worker is in [0, threads). Returns when all are done. Calls from several threads are served one after the other, a call with
// threads <= 1 at once. Tasks must not throw and must not call ParallelFor.
void ParallelFor(int threads, int64_t count, void (*task)(void* context, int64_t index, int worker), void* context);

}  // namespace edgeaff
