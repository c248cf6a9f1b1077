// VectorOps for neon.
#define EDGEAFF_SIMD_BYTES 16
#define EDGEAFF_SIMD_NAMESPACE lld_neon
#include "lld/vector_ops_impl.h"

namespace edgeaff {
const VectorOps& VectorOpsNeon() { return lld_neon::kOps; }
}  // namespace edgeaff
