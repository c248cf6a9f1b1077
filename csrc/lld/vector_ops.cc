// VectorOps for processors without a known instruction set, and the choice between the tables.
#define EDGEAFF_SIMD_BYTES 16
#define EDGEAFF_SIMD_NAMESPACE lld_scalar
#include "lld/vector_ops_impl.h"

#include "edgeaff/cpu_features.h"

namespace edgeaff {

const VectorOps& VectorOpsAvx2();
const VectorOps& VectorOpsAvx512();
const VectorOps& VectorOpsNeon();

const VectorOps& BestVectorOps() {
  switch (BestInstructionSet()) {
#if defined(__x86_64__)
    case InstructionSet::kAvx512: return VectorOpsAvx512();
    case InstructionSet::kAvx2: return VectorOpsAvx2();
#elif defined(__aarch64__)
    case InstructionSet::kNeon: return VectorOpsNeon();
#endif
    default: return lld_scalar::kOps;
  }
}

}  // namespace edgeaff
