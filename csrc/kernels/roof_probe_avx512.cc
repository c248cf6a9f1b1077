#include "roof_probe_tile.h"
#include "simd_avx512.h"

namespace edgeaff {

const RoofKernel kRoofAvx512 = ProbeRoof<Avx512>;

}  // namespace edgeaff
