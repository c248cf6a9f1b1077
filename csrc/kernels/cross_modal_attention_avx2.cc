#include "attention_tile.h"
#include "simd_avx2.h"

namespace edgeaff {

using FloatTile = AttentionTile<FloatUnits<Avx2, float>>;
using Bf16Tile = AttentionTile<FloatUnits<Avx2, uint16_t>>;

const AttentionKernel kAttentionFloatAvx2{FloatTile::ScratchFloats, FloatTile::Run};
const AttentionKernel kAttentionBf16Avx2{Bf16Tile::ScratchFloats, Bf16Tile::Run};

}  // namespace edgeaff
