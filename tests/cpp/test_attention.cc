// cross_modal_attention and affect_step on every instruction set of the processor (NEON too, under qemu) against plain loops and
// the scalar form. The wide grid against NumPy is in tests/ops and tests/backends; this one also runs where there is no Python.
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "edgeaff/affect_step.h"
#include "edgeaff/cpu_features.h"
#include "edgeaff/cross_modal_attention.h"

namespace {

using edgeaff::AttentionModality;
using edgeaff::CrossModalAttentionParams;

std::vector<float> Random(std::mt19937& generator, int64_t count, float scale = 1.0f) {
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(generator);
  return values;
}

std::vector<uint16_t> ToBf16(const std::vector<float>& values) {
  std::vector<uint16_t> bits(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    uint32_t word;
    __builtin_memcpy(&word, &values[i], 4);
    bits[i] = static_cast<uint16_t>((word + 0x8000u) >> 16);
  }
  return bits;
}

float FromBf16(uint16_t bits) {
  const uint32_t word = static_cast<uint32_t>(bits) << 16;
  float value;
  __builtin_memcpy(&value, &word, 4);
  return value;
}

// softmax(q K^T / sqrt(d) + bias) V of one query and head in double.
std::vector<double> AttendPlainly(const CrossModalAttentionParams& p, const float* q, const float* kv,
                                  const uint8_t* mask, const float* bias, int64_t i, int head) {
  const int64_t channels = static_cast<int64_t>(p.num_heads) * p.head_size;
  std::vector<double> weights(static_cast<size_t>(p.key_count), 0.0), out(static_cast<size_t>(p.head_size), 0.0);
  double total = 0.0;
  for (int64_t j = 0; j < p.key_count; ++j) {
    const int64_t age = i + p.key_count - p.query_count - j;
    if (mask[j] == 0 || (p.band != 0 && (age < 0 || age >= p.band))) continue;
    double score = 0.0;
    for (int c = 0; c < p.head_size; ++c) {
      score +=
          static_cast<double>(q[i * channels + head * p.head_size + c]) * kv[j * 2 * channels + head * p.head_size + c];
    }
    score = score / std::sqrt(static_cast<double>(p.head_size)) + (p.band != 0 ? bias[head * p.band + age] : 0.0f);
    weights[static_cast<size_t>(j)] = std::exp(score);
    total += weights[static_cast<size_t>(j)];
  }
  if (total == 0.0) return out;
  for (int64_t j = 0; j < p.key_count; ++j) {
    for (int c = 0; c < p.head_size; ++c) {
      out[static_cast<size_t>(c)] +=
          weights[static_cast<size_t>(j)] / total * kv[j * 2 * channels + channels + head * p.head_size + c];
    }
  }
  return out;
}

void CheckAttention(int64_t query_count, int64_t key_count, int heads, int head_size, int64_t band, bool bf16) {
  std::mt19937 generator(7);
  const int64_t channels = static_cast<int64_t>(heads) * head_size;
  std::vector<float> rows[6];
  for (int i = 0; i < 6; ++i) rows[i] = Random(generator, (i % 3 == 1 ? 2 * key_count : query_count) * channels);
  std::vector<uint16_t> narrow[6];
  if (bf16) {
    for (int i = 0; i < 6; ++i) {
      narrow[i] = ToBf16(rows[i]);
      for (size_t e = 0; e < rows[i].size(); ++e) rows[i][e] = FromBf16(narrow[i][e]);
    }
  }
  std::vector<uint8_t> mask[2];
  std::vector<float> bias[2];
  for (int m = 0; m < 2; ++m) {
    for (int64_t j = 0; j < key_count; ++j) mask[m].push_back(generator() % 4 != 0);
    bias[m] = Random(generator, heads * band);
  }
  CrossModalAttentionParams p;
  p.data_type = bf16 ? edgeaff::DataType::kBfloat16 : edgeaff::DataType::kFloat32;
  p.batch = 1;
  p.query_count = query_count;
  p.key_count = key_count;
  p.num_heads = heads;
  p.head_size = head_size;
  p.band = band;
  p.alpha = 0.7f;
  p.beta = -0.4f;
  for (int m = 0; m < 2; ++m) {
    AttentionModality& modality = m == 0 ? p.audio : p.video;
    const auto at = [&](int i) {
      return bf16 ? static_cast<const void*>(narrow[3 * m + i].data()) : rows[3 * m + i].data();
    };
    modality.query = at(0);
    modality.key_value = at(1);
    modality.residual = at(2);
    modality.query_time_stride = modality.residual_time_stride = channels;
    modality.key_value_time_stride = 2 * channels;
    modality.key_mask = mask[m].data();
    modality.age_bias = band == 0 ? nullptr : bias[m].data();
  }
  std::vector<float> wide(static_cast<size_t>(query_count * channels));
  std::vector<uint16_t> short_out(wide.size());
  p.output = bf16 ? static_cast<void*>(short_out.data()) : wide.data();
  p.output_time_stride = channels;
  CHECK(edgeaff::CrossModalAttentionCpu(p, 2));
  for (int64_t i = 0; i < query_count; ++i) {
    for (int h = 0; h < heads; ++h) {
      const auto a = AttendPlainly(p, rows[0].data(), rows[4].data(), mask[1].data(), bias[1].data(), i, h);
      const auto v = AttendPlainly(p, rows[3].data(), rows[1].data(), mask[0].data(), bias[0].data(), i, h);
      for (int c = 0; c < head_size; ++c) {
        const int64_t e = i * channels + h * head_size + c;
        const size_t at = static_cast<size_t>(e), channel = static_cast<size_t>(c);
        const double expected = 0.7 * (a[channel] + rows[2][at]) - 0.4 * (v[channel] + rows[5][at]);
        const double found = bf16 ? FromBf16(short_out[at]) : wide[at];
        CHECK(std::fabs(found - expected) < (bf16 ? 0.03 : 5e-6));
      }
    }
  }
}

// A small edge model of random weights: all instruction sets must say what the scalar form states.
std::vector<float> RunStep() {
  std::mt19937 generator(11);
  edgeaff::StepSizes sizes;
  sizes.video_size = 9;
  sizes.audio_size = 5;
  sizes.size = 32;
  sizes.num_heads = 2;
  sizes.ffn_size = 48;
  sizes.layers = 1;
  sizes.band = 6;
  sizes.spread_size = 16;
  std::unordered_map<std::string, edgeaff::StepModel::Tensor> tensors;
  std::vector<std::vector<float>> held;
  held.reserve(100);
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    held.push_back(Random(generator, count, 0.2f));
    tensors[name] = {edgeaff::WeightType::kFloat32, held.back().data(), shape};
  };
  const auto linear = [&](const std::string& name, int64_t inputs, int64_t outputs) {
    add(name + ".weight", {inputs, outputs});
    add(name + ".bias", {outputs});
  };
  for (const std::string name : {"video", "audio"}) {
    linear(name + ".input", name == "video" ? 9 : 5, 32);
    add(name + ".absent", {32});
    add(name + ".present", {2, 32});
    linear(name + ".0.qkv", 32, 96);
    linear(name + ".0.out", 32, 32);
    linear(name + ".0.ffn1", 32, 48);
    linear(name + ".0.ffn2", 48, 32);
    add(name + ".0.age_bias", {2, 6});
    linear(name + ".cross", 32, 70);
    add(name + ".cross.age_bias", {2, 6});
  }
  add("bias", {2});
  linear("spread.hidden", 11, 16);
  linear("spread.out", 16, 2);
  const edgeaff::StepModel model(sizes, tensors);
  std::vector<float> state(static_cast<size_t>(model.state_floats()), 0.0f), answers;
  for (int tick = 0; tick < 20; ++tick) {
    const auto video = Random(generator, 9), audio = Random(generator, 5);
    float values[4];
    model.Step(state.data(), tick % 3 == 0 ? nullptr : video.data(), tick % 5 == 0 ? nullptr : audio.data(), values);
    answers.insert(answers.end(), values, values + 4);
  }
  return answers;
}

}  // namespace

int main() {
  CHECK(edgeaff::SetInstructionSetLimit("scalar"));
  const std::vector<float> expected = RunStep();
  for (const char* const name : {"scalar", "neon", "avx2", "avx512"}) {
    CHECK(edgeaff::SetInstructionSetLimit(name));
    for (const bool bf16 : {false, true}) {
      CheckAttention(1, 100, 2, 32, 0, bf16);
      CheckAttention(25, 37, 1, 48, 0, bf16);
      CheckAttention(100, 100, 1, 128, 40, bf16);
      CheckAttention(9, 5, 2, 16, 3, bf16);
    }
    const std::vector<float> found = RunStep();
    for (size_t i = 0; i < found.size(); ++i) CHECK(std::fabs(found[i] - expected[i]) < 1e-5f);
  }
  return 0;
}
