// Int8 convolution networks: the face detector and the face encoder as packed by edgeaff/export/pack_face.py.
//
// A network is a list of steps over tensors of unsigned bytes. Sums are int32 and their rounding is fixed, so every
// instruction set gives the same bytes. Layers: 3x3 and 1x1 convolutions (stride 1 or 2) with a fused residual or
// upsampled sum, the image layer, 1x1 convolutions to floats, the encoder's standardization and pooling. NumPy twin:
// edgeaff/ops/reference_nets.py.
//
// The caller owns the workspace. After construction nothing is allocated.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "edgeaff/aligned_memory.h"

namespace edgeaff {

namespace nets {
struct Kernels;
}

// (height / divisor, width / divisor, channels) bytes; channels: 1 or a multiple of 16.
struct NetTensor {
  int divisor = 1, channels = 0, zero = 0;
};

enum class NetStepKind : int {
  kImage = 0,        // input: planes (3, H, W) -> tensor of 16 channels at half the size
  kConvolution = 1,  // tensor -> tensor
  kMap = 2,          // tensor -> floats (h, w, 16)
  kLuminance = 3,    // input: pixels (H, W, 3) -> tensor of one channel at half the size, standardized
  kMean = 4,         // tensor -> floats (channels): mean over the pixels * scale + offset
};

// One step. Arrays are copied; those that a kind does not name are null.
struct NetStep {
  NetStepKind kind = NetStepKind::kConvolution;
  int input = -1, output = -1;  // tensors; -1 for the network's input; kMap, kMean: index of the output
  int kernel = 1, stride = 1;
  int zero = 0;             // of the rounded sums
  int second = -1;          // tensor added to the rounded sums, -1 for none
  int second_shift = 0;     // 1: it has half the resolution
  int second_is_first = 0;  // order of the two products, see nets/convolve.h
  float own = 0, factor = 0, constant = 0;
  const int8_t* weight = nullptr;  // kConvolution (O, k, k, I); kImage (2, 16, 27) [part][o][row, plane, column];
                                   // kMap (3, 16, I)
  const int32_t* start = nullptr;  // kConvolution (O); kImage (2, 16); kMap (3, 16)
  const float* scale = nullptr;    // kConvolution (O); kImage, kMap (16); kMean (channels)
  const float* offset =
      nullptr;  // kMap (16); kMean (channels); kLuminance (2): epsilon in squared quarter levels, step
  const uint8_t* luma = nullptr;  // kLuminance (3): weights of R, G, B
};

// A network as `face_nets.npz` holds it (edgeaff/ops/face_nets.py): tables, and the arrays of all steps one behind the
// other.
struct PackedNet {
  template <typename T>
  struct Array {
    const T* data = nullptr;
    int64_t size = 0;  // elements
  };
  Array<int32_t> tensors;  // rows of 3: the fields of NetTensor
  Array<int32_t> steps;    // rows of 9: the fields of NetStep from kind to second_is_first
  Array<float> factors;    // rows of 3: own, factor, constant
  Array<int8_t> weights;
  Array<int32_t> starts;
  Array<float> floats;  // per step scale, then offset; kLuminance: epsilon, step
  Array<uint8_t> luma;  // (3) per kLuminance
};

class ConvNet {
 public:
  // Throws std::invalid_argument as the other constructor, also where the arrays have other sizes than the steps need.
  explicit ConvNet(const PackedNet& packed, bool strips = true);
  // Packs for the best instruction set at this moment. strips: keep what the image layer writes in a strip of rows
  // where only the next step reads it; false keeps it whole, for tests. Throws std::invalid_argument that names the
  // step when steps and tensors do not fit together or exceed the limits.
  ConvNet(const std::vector<NetTensor>& tensors, const std::vector<NetStep>& steps, bool strips = true);

  // Bytes of the workspace, aligned to 64, for an input of this size; 0 where the size is not served: no positive
  // multiple of multiple(), or above kMostSize.
  int64_t WorkspaceBytes(int height, int width) const;
  int multiple() const { return multiple_; }
  static constexpr int kMostSize = 4096;

  struct Shape {
    int rows, columns, values;
  };
  int outputs() const { return outputs_; }
  Shape OutputShape(int output, int height, int width) const;

  // Fills the borders of all tensors. Once per workspace and size, before Run.
  void Prepare(int height, int width, void* workspace) const;

  // Runs the network. input: planes (3, H, W) or pixels (H, W, 3); outputs: one pointer per output, floats as in
  // OutputShape. Thread-safe with different workspaces.
  void Run(const uint8_t* input, int height, int width, void* workspace, float* const* outputs) const {
    RunSteps(0, steps(), input, height, width, workspace, outputs);
  }

  // For tests and benchmarks: steps `first` to before `last`, on what the workspace holds. A tensor is whole from its
  // step on until the step after its last reader. TensorData: its first pixel inside the border, and the bytes of a row
  // with border; null where it is kept in strips.
  void RunSteps(int first, int last, const uint8_t* input, int height, int width, void* workspace,
                float* const* outputs) const;
  int steps() const { return static_cast<int>(steps_.size()); }
  const NetStep& step(int index) const { return steps_[static_cast<size_t>(index)].step; }
  const NetTensor& tensor(int index) const { return tensors_[static_cast<size_t>(index)].tensor; }
  uint8_t* TensorData(int index, int height, int width, void* workspace, ptrdiff_t* row) const;
  const char* instruction_set() const;

 private:
  struct Placed {
    NetTensor tensor;
    int writer = -1, last_reader = -1;  // steps
    bool in_strips = false;
    int slot = -1;  // memory, shared by tensors of equal shape and zero point
  };
  // Groups of 16 outputs in blocks of nearly equal size.
  struct Split {
    int groups = 1, blocks = 1;
    int Groups(int block) const { return groups / blocks + (block < groups % blocks); }
    int First(int block) const { return block * (groups / blocks) + std::min(block, groups % blocks); }
  };
  struct Packed {
    NetStep step;  // its arrays are copies
    Split split;
    const int8_t* weights = nullptr;  // units as in nets/convolve.h
    const int8_t* taps = nullptr;     // weights of a first layer, as nets::ImageRow and nets::ThinRow have them
  };
  struct View;

  void Check(int index);
  void CheckArrays(int index) const;
  void FindStrips();
  void PlaceTensors();
  void PackStep(Packed* packed);
  const int8_t* PackUnits(const int8_t* weight, int run, int padded_run, const Split& split);
  const int32_t* CopyStart(const NetStep& step, int outputs, int run);
  const int8_t* PackThinTaps(const int8_t* weight, int outputs);
  const int8_t* PackImageTaps(const int8_t* weight);
  template <typename T>
  const T* Copy(const T* from, int count, int padded);

  static uint8_t* Scratch(char* workspace);
  int64_t HeadBytes() const;
  int64_t TensorBytes(int index, int height, int width) const;
  int64_t ScratchBytes(int height, int width) const;
  View Look(int index, int height, int width, char* workspace) const;
  void RunImage(const Packed& packed, const uint8_t* input, int height, int width, int first, int count, uint8_t* out,
                ptrdiff_t out_row, uint8_t* scratch) const;
  void RunInStrips(int index, const uint8_t* input, int height, int width, char* workspace) const;
  void RunConvolution(int index, int height, int width, char* workspace) const;
  void ConvolveRows(const Packed& packed, const uint8_t* in, ptrdiff_t in_row, int channels, const View& out, int first,
                    int rows, int height, int width, char* workspace) const;
  void RunOneChannel(const Packed& packed, const View& in, const View& out, uint8_t* scratch) const;
  void RunMap(const Packed& packed, const View& in, float* out) const;
  void RunLuminance(const Packed& packed, const uint8_t* input, const View& out, uint8_t* scratch) const;
  void RunMean(const Packed& packed, const View& in, float* out) const;

  std::vector<Placed> tensors_;
  std::vector<Packed> steps_;
  std::vector<int> slot_tensor_;  // a tensor of each slot, for its shape
  AlignedMemory memory_;
  const nets::Kernels* kernels_;
  int multiple_ = 1, outputs_ = 0;
};

}  // namespace edgeaff
