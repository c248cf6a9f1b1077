// What a build is and what its defaults are: the functions of edgeaff.h that need no model.
#include <algorithm>
#include <cstring>

#include "edgeaff.h"
#include "edgeaff/cpu_features.h"

extern "C" {

const char* edgeaff_version(void) { return EDGEAFF_VERSION; }
int32_t edgeaff_abi(void) { return EDGEAFF_ABI; }

const char* edgeaff_build(void) {
#define EDGEAFF_BUILT "C++ " __VERSION__ ", "
  switch (edgeaff::BestInstructionSet()) {
#if defined(__x86_64__)
    case edgeaff::InstructionSet::kAvx512: return EDGEAFF_BUILT "avx512";
    case edgeaff::InstructionSet::kAvx2: return EDGEAFF_BUILT "avx2";
#elif defined(__aarch64__)
    case edgeaff::InstructionSet::kNeon: return EDGEAFF_BUILT "neon";
#endif
    default: return EDGEAFF_BUILT "scalar";
  }
}

const char* edgeaff_code_text(int32_t code) {
  static constexpr const char* kTexts[] = {"ok",   "argument", "state",       "bundle",
                                           "file", "memory",   "unsupported", "internal"};
  return code <= 0 && code >= EDGEAFF_E_INTERNAL ? kTexts[-code] : "unknown";
}

void edgeaff_options_default(edgeaff_options* options) {
  if (options == nullptr) return;
  edgeaff_options all{};
  all.size = options->size == 0 ? sizeof(all) : options->size;
  all.video = all.audio = 1, all.max_faces = 1, all.threads = 1, all.live = 1;
  all.smoothing_valence_seconds = all.smoothing_arousal_seconds = -1;
  all.staleness_seconds = 0.5, all.max_skew_seconds = 0.25;
  all.event_room = 64, all.most_width = 1920, all.most_height = 1080, all.most_rate_hz = 96'000;
  std::memcpy(options, &all, std::min<size_t>(all.size, sizeof(all)));
}

}  // extern "C"
