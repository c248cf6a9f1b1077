// What this module was built with: names the compiler, the CUDA architectures and the instruction sets.
#include <pybind11/pybind11.h>

#include "bindings.h"
#include "edgeaff/cpu_features.h"

namespace edgeaff {

void BindBuildInfo(pybind11::module_& module) {
  module.def("build_info", [] {
    pybind11::dict info;
    info["compiler"] = EDGEAFF_COMPILER;
    info["instruction_sets_built"] = EDGEAFF_ISA_LIST;
    info["instruction_set_used"] = InstructionSetName(BestInstructionSet());
#ifdef EDGEAFF_WITH_CUDA
    info["cuda"] = true;
#else
    info["cuda"] = false;
#endif
    info["cuda_version"] = EDGEAFF_CUDA_VERSION;
    info["cuda_architectures"] = EDGEAFF_CUDA_ARCH_LIST;
    return info;
  });
  module.def("set_instruction_set", [](const std::string& name) { return SetInstructionSetLimit(name); });
}

}  // namespace edgeaff
