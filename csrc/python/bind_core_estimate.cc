// edgeaff.ops._C: normalizer, coverage, expected error and smoothing of csrc/core, for edgeaff/ops/core.py.
#include <algorithm>
#include <string>
#include <vector>

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings.h"
#include "core/estimate.h"
#include "core/lld_normalizer.h"
#include "core/speech_gate.h"

namespace edgeaff {
namespace {

namespace py = pybind11;
using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;
using DoubleArray = py::array_t<double, py::array::c_style | py::array::forcecast>;

LldNormalizer MakeNormalizer(const DoubleArray& mean, const DoubleArray& std, bool adaptive, double half_life_seconds,
                             double prior_seconds, double learning_seconds, double silence_gate_rms,
                             double step_seconds) {
  if (mean.size() != kLldSize || std.size() != kLldSize) throw py::value_error("mean and std must have 65 values");
  NormalizerRules rules;
  rules.adaptive = adaptive;
  std::copy_n(mean.data(), kLldSize, rules.mean);
  std::copy_n(std.data(), kLldSize, rules.std);
  rules.half_life_seconds = half_life_seconds, rules.prior_seconds = prior_seconds,
  rules.learning_seconds = learning_seconds;
  rules.silence_gate_rms = silence_gate_rms, rules.step_seconds = step_seconds;
  return LldNormalizer(rules);
}

FloatArray Normalize(LldNormalizer& self, const FloatArray& row) {
  if (row.size() != kLldSize) throw py::value_error("row must have 65 values");
  FloatArray out(kLldSize);
  self.UpdateAndNormalize(row.data(), out.mutable_data());
  return out;
}

std::vector<double> Values(const py::dict& arrays, const char* name, size_t count) {
  const auto array = arrays[name].cast<DoubleArray>();
  if (static_cast<size_t>(array.size()) != count) throw py::value_error(std::string(name) + " has another size");
  return {array.data(), array.data() + count};
}

SpeechGate MakeGate(const py::dict& arrays, double step_seconds) {
  SpeechRules rules;
  const size_t hidden = static_cast<size_t>(arrays["hidden_bias"].cast<DoubleArray>().size());
  rules.factor = Values(arrays, "factor", kLldSize), rules.mean = Values(arrays, "mean", kLldSize),
  rules.std = Values(arrays, "std", kLldSize);
  rules.hidden = Values(arrays, "hidden", SpeechRules::kStatistics * kLldSize * hidden);
  rules.hidden_bias = Values(arrays, "hidden_bias", hidden), rules.out = Values(arrays, "out", hidden);
  rules.out_bias = Values(arrays, "out_bias", 1)[0];
  const std::vector<double> limits = Values(arrays, "rules", 4);
  rules.open_above = limits[0], rules.close_below = limits[1], rules.least_rms = limits[3];
  rules.hold_steps = static_cast<int>(limits[2]);
  return SpeechGate(rules, step_seconds);
}

UncertaintyTable MakeTable(std::vector<double> video, std::vector<double> audio, std::vector<double> valence,
                           std::vector<double> arousal) {
  const size_t cells = video.size() * audio.size();
  if (cells == 0 || valence.size() != cells || arousal.size() != cells)
    throw py::value_error("grids must be (video, audio)");
  UncertaintyTable table;
  table.video_coverage = std::move(video), table.audio_coverage = std::move(audio);
  table.valence_std = std::move(valence), table.arousal_std = std::move(arousal);
  return table;
}

}  // namespace

void BindCoreEstimate(py::module_& module) {
  py::class_<LldNormalizer>(module, "LldNormalizer")
      .def(py::init(&MakeNormalizer))
      .def("reset", &LldNormalizer::Reset)
      .def("update_and_normalize", &Normalize, py::arg("row"));
  py::class_<SpeechGate>(module, "SpeechGate")
      .def(py::init(&MakeGate))
      .def("reset", &SpeechGate::Reset)
      .def(
          "push",
          [](SpeechGate& self, const FloatArray& row) {
            if (row.size() != kLldSize) throw py::value_error("row must have 65 values");
            return self.Push(row.data());
          },
          py::arg("row"));
  py::class_<Coverage>(module, "Coverage").def(py::init<>()).def("push", &Coverage::Push, py::arg("present"));
  py::class_<UncertaintyTable>(module, "UncertaintyTable")
      .def(py::init(&MakeTable))
      .def("std", [](const UncertaintyTable& self, double video, double audio) {
        return py::make_tuple(self.ValenceStd(video, audio), self.ArousalStd(video, audio));
      });
  py::class_<Smoother>(module, "Smoother")
      .def(py::init<double>())
      .def("push", &Smoother::Push, py::arg("pts_ns"), py::arg("value"));
  module.def("value_in_range", &ValueInRange);
  module.def("std_in_range", &StdInRange);
  module.def("age_ms", &AgeMs);
}

}  // namespace edgeaff
