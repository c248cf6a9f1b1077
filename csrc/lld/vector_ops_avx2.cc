// VectorOps for avx2.
#define EDGEAFF_SIMD_BYTES 32
#define EDGEAFF_SIMD_NAMESPACE lld_avx2
#include "lld/vector_ops_impl.h"

namespace edgeaff {
const VectorOps& VectorOpsAvx2() { return lld_avx2::kOps; }
}  // namespace edgeaff
