// edgeaff.ops._C.LldStream: buffers in, rows out, around csrc/lld/lld_stream.h. Arguments are checked in
// edgeaff/features/lld.py; here only what would be unsafe. One lock per stream, so threads may share it.
#include <mutex>

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "bindings.h"
#include "lld/constants.h"
#include "lld/lld_stream.h"
#include "lld/samples.h"

namespace edgeaff {
namespace {

namespace py = pybind11;
using FloatArray = py::array_t<float, py::array::c_style>;
using Int16Array = py::array_t<int16_t, py::array::c_style>;

struct BoundStream {
  explicit BoundStream(int max_pitch_lag) : stream(max_pitch_lag) {}
  LldStream stream;
  std::mutex mutex;
  bool finished = false;
};

void RefuseFinished(const BoundStream& self) {
  if (self.finished) throw std::runtime_error("the stream is finished; call reset() first");
}

// Rows newly final, or -1 - index of the first sample that is not finite (then nothing is taken).
template <typename Array>
int64_t Push(BoundStream& self, const Array& samples) {
  const auto* source = samples.data();
  const size_t n = static_cast<size_t>(samples.size());
  py::gil_scoped_release release;
  if constexpr (std::is_same_v<Array, FloatArray>) {
    const ptrdiff_t bad = FirstNonFinite(source, n);
    if (bad >= 0) return -1 - static_cast<int64_t>(bad);
  }
  std::lock_guard<std::mutex> lock(self.mutex);
  RefuseFinished(self);
  return self.stream.Push(source, n);
}

// The array is made without the lock: making it may run other Python code, which may want this stream.
FloatArray Pop(BoundStream& self) {
  while (true) {
    int64_t n;
    {
      std::lock_guard<std::mutex> lock(self.mutex);
      n = self.stream.rows_ready();
    }
    FloatArray rows({static_cast<py::ssize_t>(n), static_cast<py::ssize_t>(lld::kColumns)});
    std::lock_guard<std::mutex> lock(self.mutex);
    if (self.stream.rows_ready() != n) continue;
    self.stream.Pop(n, rows.mutable_data());
    return rows;
  }
}

}  // namespace

void BindLld(py::module_& module) {
  py::class_<BoundStream>(module, "LldStream")
      .def(py::init([](int max_pitch_lag) {
             if (max_pitch_lag < 0 || max_pitch_lag > lld::kLongestPitchLag) {
               throw py::value_error("max_pitch_lag must be in [0, 29]");
             }
             return new BoundStream(max_pitch_lag);
           }),
           py::arg("max_pitch_lag"))
      .def("push", &Push<FloatArray>, py::arg("samples").noconvert())
      .def("push", &Push<Int16Array>, py::arg("samples").noconvert())
      .def("pop", &Pop)
      .def(
          "finish",
          [](BoundStream& self, bool compatible) {
            py::gil_scoped_release release;
            std::lock_guard<std::mutex> lock(self.mutex);
            RefuseFinished(self);
            self.finished = true;
            return self.stream.Finish(compatible);
          },
          py::arg("compatible"))
      .def("reset",
           [](BoundStream& self) {
             py::gil_scoped_release release;
             std::lock_guard<std::mutex> lock(self.mutex);
             self.stream.Reset();
             self.finished = false;
           })
      .def_property_readonly("rows_ready",
                             [](BoundStream& self) {
                               py::gil_scoped_release release;
                               std::lock_guard<std::mutex> lock(self.mutex);
                               return self.stream.rows_ready();
                             })
      .def_property_readonly("watermarks",
                             [](BoundStream& self) {
                               LldStream::Watermarks marks;
                               {
                                 py::gil_scoped_release release;
                                 std::lock_guard<std::mutex> lock(self.mutex);
                                 marks = self.stream.watermarks();
                               }
                               py::dict rows;
                               rows["pitch"] = marks.pitch;
                               rows["zcr"] = marks.zcr;
                               rows["spectral"] = marks.spectral;
                               return rows;
                             })
      .def_property_readonly("state_bytes", [](BoundStream& self) { return self.stream.state_bytes(); });
}

}  // namespace edgeaff
