#include "attention_tile.h"
#include "simd_neon.h"

namespace edgeaff {

using FloatTile = AttentionTile<FloatUnits<Neon, float>>;
using Bf16Tile = AttentionTile<FloatUnits<Neon, uint16_t>>;

const AttentionKernel kAttentionFloatNeon{FloatTile::ScratchFloats, FloatTile::Run};
const AttentionKernel kAttentionBf16Neon{Bf16Tile::ScratchFloats, Bf16Tile::Run};

}  // namespace edgeaff
