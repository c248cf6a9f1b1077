// SHA-256 (FIPS 180-4) of bytes in memory.
#pragma once
#include <cstddef>
#include <cstdint>

namespace edgeaff {

// Writes 64 hexadecimal digits and a 0.
void Sha256Hex(const uint8_t* data, size_t count, char out[65]);

}  // namespace edgeaff
