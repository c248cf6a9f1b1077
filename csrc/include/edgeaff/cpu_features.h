// Run-time choice of the instruction set. Every room with SIMD code dispatches on BestInstructionSet().
#pragma once
#include <string>

namespace edgeaff {

enum class InstructionSet { kScalar = 0, kNeon = 1, kAvx2 = 2, kAvx512 = 3 };

// The best set that this processor has, not above the limit set by SetInstructionSetLimit. Thread-safe.
InstructionSet BestInstructionSet();

// Whether the processor has bf16 dot products (AVX512_BF16) / int8 dot products (AVX512_VNNI), and the limit allows AVX-512.
bool HasAvx512Bf16();
bool HasAvx512Vnni();

// Whether the processor has int8 dot products beside NEON (Armv8.2 ASIMDDP), and the limit allows them.
bool HasDotProduct();

const char* InstructionSetName(InstructionSet set);

// Limits the dispatch for tests and benchmarks: "scalar", "neon" (without dot products), "neondot", "avx2", "avx512" or "best"
// (no limit).
// Returns false for another name. What runs is the lesser of the limit and what the processor has.
bool SetInstructionSetLimit(const std::string& name);

}  // namespace edgeaff
