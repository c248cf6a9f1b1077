// VectorOps for avx512.
#define EDGEAFF_SIMD_BYTES 64
#define EDGEAFF_SIMD_NAMESPACE lld_avx512
#include "lld/vector_ops_impl.h"

namespace edgeaff {
const VectorOps& VectorOpsAvx512() { return lld_avx512::kOps; }
}  // namespace edgeaff
