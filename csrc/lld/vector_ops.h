// The hot loops of this room, one table of functions per instruction set.
//
// A stream takes its table once, when it is made, so a later change of the limit (cpu_features.h) never changes a running
// stream. All functions are pure: no state, no allocation, thread-safe; pointers need no alignment; n >= 0.
#pragma once
#include <cstddef>

namespace edgeaff {

struct VectorOps {
  // Sum of a[i] * b[i], i < n. float32 accumulation in several partial sums, the order fixed per instruction set.
  float (*dot_f32)(const float* a, const float* b, int n);
};

// The table for BestInstructionSet() (cpu_features.h).
const VectorOps& BestVectorOps();

}  // namespace edgeaff
