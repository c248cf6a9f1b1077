// What libedgeaff runs of a bundle: rules, packed step, packed face networks. Members are hashed before they are read.
#pragma once
#include <memory>
#include <string>

#include "capi/archive.h"
#include "capi/memory.h"
#include "core/session.h"
#include "core/ssd_detector.h"
#include "edgeaff/affect_step.h"
#include "edgeaff/conv_net.h"

namespace edgeaff {

constexpr size_t kMostBundleBytes = size_t{1} << 31;

struct Bundle {
  std::string manifest;  // JSON
  SessionRules rules;
  SsdRules detector_rules;
  int detector_stride = 1;
  std::unique_ptr<StepModel> step;
  std::unique_ptr<ConvNet> detector, encoder;
};

// Reads an .eaff file's bytes, which may go afterwards, as may `scratch`, where intermediate copies lie. Throws Refused: damaged, or
// not what it states; Unsupported: whole, but it needs what this build does not have; std::invalid_argument: weights that do not
// fit together.
std::unique_ptr<Bundle> ReadBundle(Bytes data, Memory* scratch);

}  // namespace edgeaff
