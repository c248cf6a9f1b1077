#include "core/tick_clock.h"

#include <cmath>

namespace edgeaff {

int64_t RoundToNs(double seconds) {
  return static_cast<int64_t>(std::nearbyint(seconds * static_cast<double>(kNanoseconds)));
}

}  // namespace edgeaff
