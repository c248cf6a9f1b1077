// One tick through the whole `edge` model on one core: two causal encoders, cross-modal attention, dense output, with the keys
// and values of the last W ticks in rings. The weights are those of edgeaff/export/pack_step.py: transposed to (in, out), with
// layer norms, key and value biases, 1 / sqrt(d_h) * log2(e), alpha, beta and the dense layer folded in.
//
//   token      x_m = (present_m ? input_m(values) : absent_m) + present bits            audio values: sign(z) log(1 + |z|)
//   layer      q, k, v = qkv(norm(x));  x += out(attend(q, rings));  x += ffn2(relu(ffn1(norm(x))))
//   cross      q, k, u, r = cross_m(norm(x_m));  values = clip(attend(q_a, k_v) u_v + attend(q_v, k_a) u_a + r_a + r_v + bias)
//
//   spread     std = exp(clip(out(relu(hidden([video values, values]))), log 0.02, log 1.5))     packed weights with a `spread` alone
//
// u are the values after alpha or beta and the dense layer: two numbers per head and key instead of d_h.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "edgeaff/aligned_memory.h"

namespace edgeaff {

enum class WeightType : int { kFloat32 = 0, kBfloat16 = 1, kInt8 = 2 };

// Highest sizes of packed models: far above what is in use; a sum of kInput byte products fits into 32 bits.
// edgeaff/backends/native.py names the same ones.
struct PackedLimits {
  static constexpr int kInput = 1 << 15, kSize = 1 << 13, kHeads = 1 << 9, kFfn = 1 << 15, kLayers = 64,
                       kBand = 1 << 14, kTicks = 1 << 12;
};

struct StepSizes {
  int video_size = 0, audio_size = 0;
  int size = 0;         // d, a multiple of 16
  int num_heads = 0;    // d / num_heads is a multiple of 16
  int ffn_size = 0;     // a multiple of 16
  int layers = 0;       // per modality
  int band = 0;         // W
  int spread_size = 0;  // hidden width of the spread, a multiple of 16; 0 = none
};

// y = x W + b with W (inputs, outputs) row-major, outputs padded with zeros to a multiple of 16.
struct StepLinear {
  WeightType type = WeightType::kFloat32;
  int inputs = 0, outputs = 0;
  const void* weight = nullptr;
  const float* scale = nullptr;  // per output, int8 only
  const float* bias = nullptr;
};

struct StepAttention {
  const float* age_bias = nullptr;  // (num_heads, 2 * padded band): entry x = bias of age (-x mod W), in units of log2
};

struct StepLayer {
  StepLinear qkv, out, ffn1, ffn2;
  StepAttention attention;
};

struct StepModality {
  StepLinear input;
  const float* absent = nullptr;   // (d)
  const float* present = nullptr;  // (2, d): added where video, audio are present
  std::vector<StepLayer> layers;
  StepLinear cross;         // d -> [q (d), k (d), u (2 num_heads: channel 0 of all heads, then 1), r (2)]
  StepAttention attention;  // bias by age of this modality's keys
};

class StepModel {
 public:
  // tensor(name) -> data; see edgeaff/export/pack_step.py for the names. Everything is copied.
  struct Tensor {
    WeightType type;
    const void* data;
    std::vector<int64_t> shape;
  };
  // Throws std::invalid_argument, naming the tensor, when one is missing or has another shape, or a size is out of range.
  StepModel(const StepSizes& sizes, const std::unordered_map<std::string, Tensor>& tensors);

  const StepSizes& sizes() const { return sizes_; }
  int64_t padded_band() const { return (sizes_.band + 15) / 16 * 16; }
  // Floats of a state. All zeros = before the first tick. A state is plain memory: it may be copied.
  int64_t state_floats() const;
  int64_t scratch_floats() const;

  // Computes one tick. video (video_size), audio (audio_size): read only where present. values (4): valence, arousal in [-1, 1],
  // and the standard deviations of their errors where there are a spread and a video, else 0.
  // Thread-safe for different states. state and scratch need no alignment.
  void Step(float* state, const float* video, const float* audio, float* values) const;

  // The same with memory of the caller's: scratch_floats() of them.
  void Step(float* state, const float* video, const float* audio, float* values, float* scratch) const;

  StepModality video, audio;
  StepLinear spread_hidden, spread_out;  // video_size + 2 -> spread_size -> 2
  const float* bias = nullptr;           // (2) of the dense layer, with all folded biases

 private:
  const float* Floats(const std::unordered_map<std::string, Tensor>& tensors, const std::string& name,
                      const std::vector<int64_t>& shape);
  StepLinear Linear(const std::unordered_map<std::string, Tensor>& tensors, const std::string& name, int inputs,
                    int outputs);
  StepAttention Attention(const std::unordered_map<std::string, Tensor>& tensors, const std::string& name);

  StepSizes sizes_;
  AlignedMemory memory_;
};

}  // namespace edgeaff
