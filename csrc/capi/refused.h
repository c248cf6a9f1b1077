// Content of a bundle that breaks a limit or a rule. It never leaves csrc/capi/edgeaff.cc.
#pragma once
#include <stdexcept>

namespace edgeaff {

struct Refused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A whole bundle that needs what this build does not have.
struct Unsupported : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace edgeaff
