#include "edgeaff/cpu_features.h"

#include <atomic>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace edgeaff {
namespace {

constexpr int kNoLimit = 99;
std::atomic<int> g_limit{kNoLimit};
std::atomic<bool> g_dot_product_allowed{true};

InstructionSet Detect() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    return InstructionSet::kAvx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return InstructionSet::kAvx2;
  return InstructionSet::kScalar;
#elif defined(__aarch64__)
  return InstructionSet::kNeon;
#else
  return InstructionSet::kScalar;
#endif
}

}  // namespace

InstructionSet BestInstructionSet() {
  static const InstructionSet detected = Detect();
  const int limit = g_limit.load(std::memory_order_relaxed);
  if (limit >= static_cast<int>(detected)) return detected;
  // NEON is no stage on the way from AVX-512 down, nor AVX2 one on Arm.
#if defined(__x86_64__)
  if (limit == static_cast<int>(InstructionSet::kNeon)) return InstructionSet::kScalar;
#endif
  return static_cast<InstructionSet>(limit);
}

bool HasAvx512Bf16() {
#if defined(__x86_64__)
  return BestInstructionSet() == InstructionSet::kAvx512 && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

bool HasAvx512Vnni() {
#if defined(__x86_64__)
  return BestInstructionSet() == InstructionSet::kAvx512 && __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

bool HasDotProduct() {
  if (BestInstructionSet() != InstructionSet::kNeon || !g_dot_product_allowed.load(std::memory_order_relaxed))
    return false;
#if defined(__aarch64__) && defined(__linux__)
  constexpr unsigned long kAsimdDotProduct = 1ul << 20;  // HWCAP_ASIMDDP
  return (getauxval(AT_HWCAP) & kAsimdDotProduct) != 0;
#elif defined(__aarch64__) && defined(__APPLE__)
  int found = 0;
  size_t size = sizeof found;
  return sysctlbyname("hw.optional.arm.FEAT_DotProd", &found, &size, nullptr, 0) == 0 && found != 0;
#else
  return false;
#endif
}

const char* InstructionSetName(InstructionSet set) {
  switch (set) {
    case InstructionSet::kAvx512: return "avx512";
    case InstructionSet::kAvx2: return "avx2";
    case InstructionSet::kNeon: return "neon";
    default: return "scalar";
  }
}

bool SetInstructionSetLimit(const std::string& name) {
  int limit;
  if (name == "best")
    limit = kNoLimit;
  else if (name == "scalar")
    limit = static_cast<int>(InstructionSet::kScalar);
  else if (name == "neon" || name == "neondot")
    limit = static_cast<int>(InstructionSet::kNeon);
  else if (name == "avx2")
    limit = static_cast<int>(InstructionSet::kAvx2);
  else if (name == "avx512")
    limit = static_cast<int>(InstructionSet::kAvx512);
  else
    return false;
  g_limit.store(limit, std::memory_order_relaxed);
  g_dot_product_allowed.store(name != "neon", std::memory_order_relaxed);
  return true;
}

}  // namespace edgeaff
