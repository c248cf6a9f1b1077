#include "attention_tile.h"
#include "simd_avx512.h"

namespace edgeaff {

using FloatTile = AttentionTile<FloatUnits<Avx512, float>>;
using Bf16Tile = AttentionTile<FloatUnits<Avx512, uint16_t>>;

const AttentionKernel kAttentionFloatAvx512{FloatTile::ScratchFloats, FloatTile::Run};
const AttentionKernel kAttentionBf16Avx512{Bf16Tile::ScratchFloats, Bf16Tile::Run};

}  // namespace edgeaff
