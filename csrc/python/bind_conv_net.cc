// Binds edgeaff/conv_net.h; edgeaff/ops/face_nets.py checks the arguments of a run.
#include "edgeaff/conv_net.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "bindings.h"
#include "nets/convolve.h"

namespace py = pybind11;

namespace edgeaff {
namespace {

template <typename T>
using Dense = py::array_t<T, py::array::c_style>;

template <typename T>
PackedNet::Array<T> View(const Dense<T>& array) {
  return {array.data(), array.size()};
}

std::unique_ptr<ConvNet> MakeNet(const Dense<int32_t>& tensors, const Dense<int32_t>& steps,
                                 const Dense<float>& factors, const Dense<int8_t>& weights,
                                 const Dense<int32_t>& starts, const Dense<float>& floats, const Dense<uint8_t>& luma,
                                 bool strips) {
  const PackedNet packed{View(tensors), View(steps),  View(factors), View(weights),
                         View(starts),  View(floats), View(luma)};
  return std::make_unique<ConvNet>(packed, strips);
}

int64_t WorkspaceBytes(const ConvNet& net, int height, int width) {
  const int64_t needed = net.WorkspaceBytes(height, width);
  return needed == 0 ? 0 : needed + kAlignment - 1;
}

char* Workspace(const ConvNet& net, int height, int width, Dense<uint8_t>& workspace) {
  const int64_t needed = WorkspaceBytes(net, height, width);
  if (needed == 0 || workspace.size() < needed) throw std::invalid_argument("the workspace is too small");
  return Aligned(reinterpret_cast<char*>(workspace.mutable_data()));
}

void Run(const ConvNet& net, const Dense<uint8_t>& input, int height, int width, Dense<uint8_t>& workspace,
         const py::tuple& outputs, int first, int last) {
  constexpr size_t kMostOutputs = 16;
  char* const memory = Workspace(net, height, width, workspace);
  if (input.size() < static_cast<py::ssize_t>(3) * height * width)
    throw std::invalid_argument("the input is too small");
  if (first < 0 || last > net.steps() || first > last) throw std::invalid_argument("there are no such steps");
  if (static_cast<int>(outputs.size()) != net.outputs())
    throw std::invalid_argument("there must be one array per output");
  float* made[kMostOutputs] = {};
  for (size_t i = 0; i < outputs.size(); ++i) {
    auto array = py::reinterpret_borrow<Dense<float>>(outputs[i]);
    const ConvNet::Shape shape = net.OutputShape(static_cast<int>(i), height, width);
    if (array.size() != static_cast<py::ssize_t>(shape.rows) * shape.columns * shape.values)
      throw std::invalid_argument("an output has another size");
    made[i] = array.mutable_data();
  }
  const uint8_t* const from = input.data();
  const py::gil_scoped_release released;
  net.RunSteps(first, last, from, height, width, memory, made);
}

// A copy of a tensor, (rows, columns, channels); None where it is kept in strips.
py::object TensorOf(const ConvNet& net, int index, int height, int width, Dense<uint8_t>& workspace) {
  ptrdiff_t row = 0;
  const NetTensor& tensor = net.tensor(index);
  const uint8_t* const from = net.TensorData(index, height, width, Workspace(net, height, width, workspace), &row);
  if (from == nullptr) return py::none();
  const py::ssize_t rows = height / tensor.divisor, columns = width / tensor.divisor, channels = tensor.channels;
  Dense<uint8_t> out({rows, columns, channels});
  for (py::ssize_t y = 0; y < rows; ++y)
    std::copy(from + y * row, from + y * row + columns * channels, out.mutable_data(y, 0, 0));
  return out;
}

// (multiply-adds, instruction set) of this many repetitions of bare products.
py::tuple ProductRoof(int64_t repeats) {
  const nets::Kernels& kernels = nets::BestKernels();
  int64_t count;
  {
    const py::gil_scoped_release released;
    count = kernels.roof(repeats);
  }
  return py::make_tuple(count, kernels.name);
}

}  // namespace

void BindConvNet(py::module_& module) {
  py::class_<ConvNet>(module, "ConvNet")
      .def(py::init(&MakeNet))
      .def_property_readonly("instruction_set", &ConvNet::instruction_set)
      .def_property_readonly("multiple", &ConvNet::multiple)
      .def_property_readonly("steps", &ConvNet::steps)
      .def_property_readonly("outputs", &ConvNet::outputs)
      .def("workspace_bytes", &WorkspaceBytes)
      .def("output_shape",
           [](const ConvNet& net, int output, int height, int width) {
             const ConvNet::Shape shape = net.OutputShape(output, height, width);
             return py::make_tuple(shape.rows, shape.columns, shape.values);
           })
      .def("prepare",
           [](const ConvNet& net, int height, int width, Dense<uint8_t>& workspace) {
             net.Prepare(height, width, Workspace(net, height, width, workspace));
           })
      .def("run", &Run)
      .def("tensor", &TensorOf);
  module.def("product_roof", &ProductRoof);
}

}  // namespace edgeaff
