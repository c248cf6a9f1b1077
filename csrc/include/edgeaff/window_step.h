// One tick through the transformer of the `paper` preset: the newest row of the window of T ticks that ends at it, in 8 bits.
// The weights are those of edgeaff/export/pack_window.py. What depends on one tick alone is its row, made once and kept by the caller:
//
//   row        for both modalities: token x = project(input) (d), packed p = qkv_0(x) (3 d); then present bits (2)
//   encoder    x + positions, p + qkv_0(positions);  x = norm1(x + out(attend(p)));  x = norm2(x + ffn2(relu(ffn1(x))));  p = qkv(x)
//   cross      k_h = key_h(query(x_newest)_h);  m_h = sum over j of softmax(k_h . x'_j) x'_j;  values += answer_h . m_h + answer_bias
//
// x' is the other modality: its key projection is folded into the query, its values with alpha or beta and the dense layer into `answer`.
// Products are of unsigned bytes (activations, one scale per row, found again each time) and signed bytes (weights, one scale per
// output) with exact sums of 32 bits; all else is fp32.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "edgeaff/affect_step.h"  // PackedLimits
#include "edgeaff/aligned_memory.h"

namespace edgeaff {

struct WindowSizes {
  int video_size = 0, audio_size = 0;  // multiples of 4
  int size = 0;                        // d, a multiple of 64
  int num_heads = 0;                   // d / num_heads is a multiple of 16, at most 256
  int ffn_size = 0;                    // a multiple of 64
  int layers = 0;                      // per modality, at least 1
  int ticks = 0;                       // T
};

// y = x W + b. Panels of 64 outputs: [output / 64][input / 4][output % 64][input % 4].
struct ByteLinear {
  int inputs = 0, outputs = 0;  // outputs padded with zeros to a multiple of 64
  const int8_t* panels = nullptr;
  const float* scale = nullptr;          // (outputs)
  const float* bias = nullptr;           // (outputs)
  const int32_t* column_sums = nullptr;  // (outputs): what an activation that is stored 128 too high adds
};

struct WindowLayer {
  ByteLinear qkv, out, ffn1, ffn2;
  const float *norm1_weight, *norm1_bias, *norm2_weight, *norm2_bias;  // (d)
};

struct WindowModality {
  ByteLinear project;
  const float* positions = nullptr;         // (T, d)
  const float* packed_positions = nullptr;  // (T, 3 d), with the bias of the first packed product
  std::vector<WindowLayer> layers;
  ByteLinear query;                    // of this modality's newest row
  std::vector<ByteLinear> keys;        // per head: d_h -> d, of this modality's keys; carries log2(e) / sqrt(d_h)
  const float* answer = nullptr;       // (2, num_heads, d), of this modality's values
  const float* answer_bias = nullptr;  // (2), where any key exists
  const float* residual = nullptr;     // (2, d), of this modality's newest row
};

class WindowStepModel {
 public:
  // tensor(name) -> data: int8 or float32. Everything is copied.
  struct Tensor {
    bool is_byte;
    const void* data;
    std::vector<int64_t> shape;
  };
  // Throws std::invalid_argument, naming the tensor, when one is missing or has another shape or type.
  WindowStepModel(const WindowSizes& sizes, const std::unordered_map<std::string, Tensor>& tensors);

  const WindowSizes& sizes() const { return sizes_; }
  // Floats of a row.
  int64_t row_floats() const { return 8 * static_cast<int64_t>(sizes_.size) + 2; }
  // Bytes of working memory of one modality, a multiple of 64.
  int64_t side_bytes() const;

  // Makes the row of a tick. video (video_size), audio (audio_size), null where absent; row (row_floats).
  void Append(const float* video, const float* audio, float* row) const;

  // Makes the row of a tick and the values of the window that ends at it: valence, arousal in [-1, 1].
  // rows: T - 1 rows of the ticks before, oldest first, null where there was none. threads: 1, or 2 = one per modality.
  // Thread-safe. Nothing needs alignment.
  void Step(const float* const* rows, const float* video, const float* audio, int threads, float* row,
            float* values) const;

  WindowModality video, audio;
  const float* bias = nullptr;  // (2) of the dense layer

 private:
  using Tensors = std::unordered_map<std::string, Tensor>;
  const float* Floats(const Tensors& tensors, const std::string& name, const std::vector<int64_t>& shape);
  ByteLinear Linear(const Tensors& tensors, const std::string& name, int inputs, int outputs);
  void FillModality(const Tensors& tensors, const std::string& name, int inputs, WindowModality* m);

  WindowSizes sizes_;
  AlignedMemory memory_;
};

}  // namespace edgeaff
