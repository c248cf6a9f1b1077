#include "edgeaff/roof_probe.h"

#include "edgeaff/cpu_features.h"
#include "roof_probe_tile.h"
#include "simd_scalar.h"

namespace edgeaff {

const RoofKernel kRoofScalar = ProbeRoof<Scalar>;

int64_t RoofProbe(int64_t repeats) {
  switch (BestInstructionSet()) {
#if defined(__x86_64__)
    case InstructionSet::kAvx512: return kRoofAvx512(repeats);
    case InstructionSet::kAvx2: return kRoofAvx2(repeats);
#elif defined(__aarch64__)
    case InstructionSet::kNeon: return kRoofNeon(repeats);
#endif
    default: return kRoofScalar(repeats);
  }
}

}  // namespace edgeaff
