#include "roof_probe_tile.h"
#include "simd_avx2.h"

namespace edgeaff {

const RoofKernel kRoofAvx2 = ProbeRoof<Avx2>;

}  // namespace edgeaff
