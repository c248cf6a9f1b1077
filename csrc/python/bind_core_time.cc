// edgeaff.ops._C: the clock classes of csrc/core, one to one, for edgeaff/ops/core.py. Payloads are Python objects here.
#include <optional>
#include <utility>
#include <vector>

#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings.h"
#include "core/audio_clock.h"
#include "core/clock_gate.h"
#include "core/frame_timeline.h"
#include "core/row_timeline.h"
#include "core/tick_scheduler.h"

namespace edgeaff {
namespace {

namespace py = pybind11;
using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;

// A Python object as a payload or a result. Keep() replaces it with a deep copy.
struct Object {
  py::object value = py::none();
  void Keep() { value = py::module_::import("copy").attr("deepcopy")(value); }
  void Release() { value = py::none(); }
  void Clear() { value = py::none(); }
};

using Frames = FrameTimeline<Object, Object>;
using Gate = ClockGate<Object>;

// (columns, center_ns, window_ns) of each group; every column from 0 on stands in one.
RowTimeline MakeRows(const std::vector<std::tuple<std::vector<int>, int64_t, int64_t>>& groups) {
  if (groups.empty() || groups.size() > 32) throw py::value_error("a timeline must have 1 to 32 groups");
  std::vector<ColumnGroup> made;
  size_t width = 0;
  for (const auto& [columns, center_ns, window_ns] : groups) {
    made.push_back({columns, center_ns, window_ns});
    width += columns.size();
  }
  std::vector<bool> known(width);
  for (const ColumnGroup& group : made) {
    for (const int column : group.columns) {
      if (column < 0 || static_cast<size_t>(column) >= width || known[static_cast<size_t>(column)]) {
        throw py::value_error("each column from 0 on must stand in one group");
      }
      known[static_cast<size_t>(column)] = true;
    }
  }
  return RowTimeline(std::move(made), static_cast<int>(width));
}

void PushRow(RowTimeline& self, int64_t start_pts_ns, const FloatArray& lld, const std::vector<bool>& masked) {
  if (lld.size() != self.width() || masked.size() != self.groups().size()) {
    throw py::value_error("lld must have one value per column and masked one flag per group");
  }
  uint32_t bits = 0;
  for (size_t group = 0; group < masked.size(); ++group) bits |= static_cast<uint32_t>(masked[group]) << group;
  self.Push(start_pts_ns, lld.data(), bits);
}

py::object SelectRow(const RowTimeline& self, int64_t instant_ns) {
  FloatArray lld(self.width());
  const auto step = self.Select(instant_ns, lld.mutable_data());
  if (!step) return py::none();
  return py::make_tuple(lld, step->center_ns, step->row);
}

py::object TakeFrame(Frames& self, int64_t tick) {
  const auto taken = self.Take(tick);
  if (!taken) return py::none();
  return py::make_tuple(taken->pts_ns, taken->result->value);
}

void BindTimelines(py::module_& module) {
  py::class_<AudioClock>(module, "AudioClock")
      .def(py::init<>())
      .def_property_readonly("rate_hz", &AudioClock::rate_hz)
      .def_property_readonly("nominal_end_ns", &AudioClock::NominalEndNs)
      .def_property_readonly("end_pts_ns", &AudioClock::EndPtsNs)
      .def("pts_ns", &AudioClock::PtsNs, py::arg("nominal_ns"))
      .def("touches_hole", &AudioClock::TouchesHole, py::arg("start_ns"), py::arg("end_ns"))
      .def("place", [](AudioClock& self, int64_t pts_ns, int64_t count, int rate_hz) {
        const Placement place = self.Place(pts_ns, count, rate_hz);
        return py::make_tuple(place.restart, place.skip, place.fill);
      });
  py::class_<RowTimeline>(module, "RowTimeline")
      .def(py::init(&MakeRows), py::arg("groups"))
      .def("push", &PushRow, py::arg("start_pts_ns"), py::arg("lld"), py::arg("masked"))
      .def("select", &SelectRow, py::arg("instant_ns"))
      .def("forget_before", &RowTimeline::ForgetBefore, py::arg("instant_ns"));
  py::class_<Frames>(module, "FrameTimeline")
      .def(py::init([](int64_t rate_hz, py::function process) {
             return Frames(TickClock{rate_hz},
                           [process = std::move(process)](int64_t pts_ns, Object* payload, Object* result) {
                             result->value = process(pts_ns, payload->value);
                           });
           }),
           py::arg("rate_hz"), py::arg("process"))
      .def("push", [](Frames& self, int64_t pts_ns,
                      py::object payload) { return self.Push(pts_ns, Object{std::move(payload)}); })
      .def("ready", &Frames::Ready, py::arg("tick"))
      .def("take", &TakeFrame, py::arg("tick"))
      .def("newest_before", &Frames::NewestBefore)
      .def_property_readonly("newest_pts_ns", &Frames::newest_pts_ns)
      .def_property_readonly("newest_tick", &Frames::newest_tick);
}

void BindScheduler(py::module_& module) {
  py::class_<TickScheduler>(module, "TickScheduler")
      .def(py::init([](int64_t rate_hz, int64_t skew_ns, bool video, bool audio, int64_t audio_need_ns) {
             return TickScheduler(TickClock{rate_hz}, skew_ns, video, audio, audio_need_ns);
           }),
           py::arg("rate_hz"), py::arg("skew_ns"), py::arg("video"), py::arg("audio"), py::arg("audio_need_ns"))
      .def("delivered",
           [](TickScheduler& self, int who, int64_t pts_ns, std::optional<int64_t> first_pts_ns) {
             if (who < 0 || who > 2) throw py::value_error("who must be 0 (video), 1 (audio) or 2 (clock)");
             self.Delivered(static_cast<Modality>(who), pts_ns, first_pts_ns);
           })
      .def("late_ns", &TickScheduler::LateNs, py::arg("pts_ns"))
      .def("current_tick", &TickScheduler::CurrentTick)
      .def("may_go", &TickScheduler::MayGo, py::arg("tick"), py::arg("video_ready"))
      .def("went", &TickScheduler::Went, py::arg("tick"))
      .def("last_tick", &TickScheduler::LastTick)
      .def("frame_window_end_ns",
           [](const TickScheduler& self, int64_t tick) { return self.clock().FrameWindowEndNs(tick); })
      .def_property_readonly("newest_ns", &TickScheduler::NewestNs)
      .def_property_readonly("first_pts_ns", &TickScheduler::first_pts_ns)
      .def_property_readonly("next_tick", &TickScheduler::next_tick);
  module.def("tick_pts_ns", [](int64_t rate_hz, int64_t tick) { return TickClock{rate_hz}.TickPtsNs(tick); });
  module.def("frame_tick", [](int64_t rate_hz, int64_t pts_ns) { return TickClock{rate_hz}.FrameTick(pts_ns); });
}

void BindGate(py::module_& module) {
  py::class_<Gate>(module, "ClockGate")
      .def(py::init<bool>(), py::arg("confirm"))
      .def("offer",
           [](Gate& self, int kind, int64_t start_ns, int64_t end_ns, py::object payload) {
             auto verdict = self.Offer({static_cast<InputKind>(kind), start_ns, end_ns, Object{std::move(payload)}});
             py::list deliver, dropped;
             for (auto& item : verdict.deliver) {
               if (item) deliver.append(item->payload.value);
             }
             if (verdict.dropped) dropped.append(verdict.dropped->payload.value);
             return py::make_tuple(py::tuple(deliver), py::tuple(dropped), verdict.restart);
           })
      .def("drop_held", [](Gate& self) {
        py::list dropped;
        if (auto held = self.DropHeld()) dropped.append(held->payload.value);
        return py::tuple(dropped);
      });
}

}  // namespace

void BindCoreTime(py::module_& module) {
  BindTimelines(module);
  BindScheduler(module);
  BindGate(module);
}

}  // namespace edgeaff
