// One Bind function per bind_<file>.cc; module.cc calls them all.
#pragma once
#include <pybind11/pybind11.h>

namespace edgeaff {

void BindAffectStep(pybind11::module_& module);
void BindArrays(pybind11::module_& module);
void BindBuildInfo(pybind11::module_& module);
void BindConvNet(pybind11::module_& module);
void BindCoreEstimate(pybind11::module_& module);
void BindCorePeople(pybind11::module_& module);
void BindCoreFaces(pybind11::module_& module);
void BindCorePreprocessor(pybind11::module_& module);
void BindCoreTime(pybind11::module_& module);
void BindCropResize(pybind11::module_& module);
void BindCrossModalAttention(pybind11::module_& module);
void BindCudaDevice(pybind11::module_& module);
void BindDecodeMaps(pybind11::module_& module);
void BindLld(pybind11::module_& module);
void BindLldResample(pybind11::module_& module);
void BindPlainAttention(pybind11::module_& module);
void BindThumbnail(pybind11::module_& module);
void BindWindowStep(pybind11::module_& module);

}  // namespace edgeaff
