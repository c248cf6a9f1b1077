#include "roof_probe_tile.h"
#include "simd_neon.h"

namespace edgeaff {

const RoofKernel kRoofNeon = ProbeRoof<Neon>;

}  // namespace edgeaff
