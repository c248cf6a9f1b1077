// The compiled module edgeaff.ops._C. Each bind_<file>.cc adds the functions of one core file.
#include <pybind11/pybind11.h>

#include "bindings.h"

PYBIND11_MODULE(_C, module) {
  module.doc() = "Compiled core of edgeaff; call it through edgeaff.ops, which checks arguments.";
  edgeaff::BindAffectStep(module);
  edgeaff::BindArrays(module);
  edgeaff::BindBuildInfo(module);
  edgeaff::BindConvNet(module);
  edgeaff::BindCoreEstimate(module);
  edgeaff::BindCorePeople(module);
  edgeaff::BindCoreFaces(module);
  edgeaff::BindCorePreprocessor(module);
  edgeaff::BindCoreTime(module);
  edgeaff::BindCropResize(module);
  edgeaff::BindCrossModalAttention(module);
  edgeaff::BindCudaDevice(module);
  edgeaff::BindDecodeMaps(module);
  edgeaff::BindLld(module);
  edgeaff::BindLldResample(module);
  edgeaff::BindPlainAttention(module);
  edgeaff::BindThumbnail(module);
  edgeaff::BindWindowStep(module);
}
