#include "capi/bundle.h"

#include <cmath>
#include <cstring>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "capi/json.h"
#include "capi/refused.h"
#include "capi/sha256.h"

namespace edgeaff {
namespace {

constexpr size_t kMostMembers = 64, kMostSums = 1 << 16;
constexpr int kMostCoverages = 64;
constexpr const char* kManifest = "manifest.json";
constexpr const char* kSums = "SHA256SUMS";
constexpr const char* kStep = "step.npz";
constexpr const char* kFaceNets = "face_nets.npz";
constexpr const char* kSpeech = "speech.npz";

using Arrays = std::unordered_map<std::string, Array>;

std::string_view TextOf(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data), bytes.size}; }

// The members of a bundle, each compared with its stated checksum when it is asked for.
class Members {
 public:
  explicit Members(Bytes data) : members_(ReadZip(data, kMostMembers)) {
    const auto sums = members_.find(kSums);
    if (sums == members_.end() || sums->second.size > kMostSums) throw Refused("no SHA256SUMS: it is no bundle");
    std::string_view text = TextOf(sums->second);
    while (!text.empty()) {
      const size_t end = text.find('\n');
      if (end == std::string_view::npos || end < 67 || text.substr(64, 2) != "  ")
        throw Refused("SHA256SUMS that is damaged");
      if (!stated_.emplace(std::string(text.substr(66, end - 66)), std::string(text.substr(0, 64))).second)
        throw Refused("SHA256SUMS with a member twice");
      text.remove_prefix(end + 1);
    }
    if (stated_.size() + 1 != members_.size()) throw Refused("SHA256SUMS of other members");
  }

  bool Has(const char* name) const { return members_.count(name) != 0; }

  const std::string& StatedSum(const std::string& name) const {
    const auto found = stated_.find(name);
    if (found == stated_.end()) throw Refused("no checksum of " + name);
    return found->second;
  }

  Bytes Get(const char* name) const {
    const auto found = members_.find(name);
    if (found == members_.end()) throw Refused(std::string("no ") + name);
    char sum[65];
    Sha256Hex(found->second.data, found->second.size, sum);
    if (StatedSum(name) != sum) throw Refused(std::string(name) + " was changed or damaged: copy or export it again");
    return found->second;
  }

 private:
  std::unordered_map<std::string, Bytes> members_;
  std::unordered_map<std::string, std::string> stated_;
};

// Copies an array so that its numbers are aligned; the copy lives as long as `scratch`.
const void* AlignedCopy(const Array& array, Memory* scratch) {
  void* const to = scratch->Allocate(array.data.size + 1);
  if (array.data.size > 0) std::memcpy(to, array.data.data, array.data.size);
  return to;
}

const Array& Find(const Arrays& arrays, const std::string& name, char kind, int item) {
  const auto found = arrays.find(name);
  if (found == arrays.end()) throw Refused("no array " + name);
  if (found->second.kind != kind || found->second.item != item) throw Refused(name + " of another type");
  return found->second;
}

Json MetaOf(const Arrays& arrays) { return Json::Parse(TextOf(Find(arrays, "meta", 'u', 1).data)); }

void RequireFinite(const std::string& name, const float* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) throw Refused(name + " with values that are not finite");
  }
}

std::unique_ptr<StepModel> ReadStep(Bytes data, Memory* scratch) {
  const Arrays arrays = ReadNpz(data);
  const Json meta = MetaOf(arrays);
  if (meta.At("format").Whole(0, 1 << 20) != 1 || meta.At("architecture").Text() != "edgeaff-edge-1")
    throw Unsupported("the packed step is of another architecture");
  StepSizes sizes;
  using Limit = PackedLimits;
  sizes.video_size = meta.At("video_size").Whole(1, Limit::kInput);
  sizes.audio_size = meta.At("audio_size").Whole(1, Limit::kInput);
  sizes.size = meta.At("size").Whole(16, Limit::kSize);
  sizes.num_heads = meta.At("num_heads").Whole(1, Limit::kHeads);
  sizes.ffn_size = meta.At("ffn_size").Whole(16, Limit::kFfn);
  sizes.layers = meta.At("layers").Whole(0, Limit::kLayers);
  sizes.band = meta.At("band").Whole(1, Limit::kBand);
  if (const Json* const value = meta.Find("spread_size")) sizes.spread_size = value->Whole(0, Limit::kFfn);
  std::unordered_map<std::string, StepModel::Tensor> tensors;
  for (const auto& [name, array] : arrays) {
    if (name == "meta") continue;
    StepModel::Tensor tensor;
    if (array.kind == 'f' && array.item == 4) {
      tensor.type = WeightType::kFloat32;
    } else if (array.kind == 'u' && array.item == 2) {
      tensor.type = WeightType::kBfloat16;
    } else if (array.kind == 'i' && array.item == 1) {
      tensor.type = WeightType::kInt8;
    } else {
      throw Refused(name + " of another type");
    }
    tensor.data = AlignedCopy(array, scratch);
    tensor.shape = array.shape;
    if (tensor.type == WeightType::kFloat32) RequireFinite(name, static_cast<const float*>(tensor.data), array.count());
    tensors.emplace(name, std::move(tensor));
  }
  return std::make_unique<StepModel>(sizes, tensors);
}

std::vector<double> Floats(const Arrays& arrays, const std::string& name, int64_t count) {
  const Array& array = Find(arrays, name, 'f', 4);
  if (array.count() != count) throw Refused(name + " of another size");
  std::vector<float> values(static_cast<size_t>(count));
  if (count > 0) std::memcpy(values.data(), array.data.data, static_cast<size_t>(count) * sizeof(float));
  RequireFinite(name, values.data(), count);
  return {values.begin(), values.end()};
}

SpeechRules ReadSpeech(Bytes data) {
  const Arrays arrays = ReadNpz(data);
  SpeechRules rules;
  const int64_t hidden = Find(arrays, "hidden_bias", 'f', 4).count();
  if (hidden < 1 || hidden > SpeechRules::kMostHidden) throw Refused("a speech gate of another size");
  rules.factor = Floats(arrays, "factor", kLldSize), rules.mean = Floats(arrays, "mean", kLldSize);
  rules.std = Floats(arrays, "std", kLldSize);
  for (const double std : rules.std) {
    if (!(std > 0)) throw Refused("a speech gate with a std that is not positive");
  }
  rules.hidden = Floats(arrays, "hidden", SpeechRules::kStatistics * kLldSize * hidden);
  rules.hidden_bias = Floats(arrays, "hidden_bias", hidden), rules.out = Floats(arrays, "out", hidden);
  rules.out_bias = Floats(arrays, "out_bias", 1)[0];
  const std::vector<double> limits = Floats(arrays, "rules", 4);
  rules.open_above = limits[0], rules.close_below = limits[1], rules.least_rms = limits[3];
  if (!(0 <= limits[2] && limits[2] <= 1e6)) throw Refused("a speech gate whose hold is out of range");
  rules.hold_steps = static_cast<int>(limits[2]);
  return rules;
}

template <typename T>
PackedNet::Array<T> Take(const Arrays& arrays, const std::string& name, char kind, Memory* scratch) {
  const Array& array = Find(arrays, name, kind, sizeof(T));
  return {static_cast<const T*>(AlignedCopy(array, scratch)), array.count()};
}

std::unique_ptr<ConvNet> ReadNet(const Arrays& arrays, const std::string& name, Memory* scratch) {
  PackedNet packed;
  packed.tensors = Take<int32_t>(arrays, name + ".tensors", 'i', scratch);
  packed.steps = Take<int32_t>(arrays, name + ".steps", 'i', scratch);
  packed.factors = Take<float>(arrays, name + ".factors", 'f', scratch);
  packed.weights = Take<int8_t>(arrays, name + ".weights", 'i', scratch);
  packed.starts = Take<int32_t>(arrays, name + ".starts", 'i', scratch);
  packed.floats = Take<float>(arrays, name + ".floats", 'f', scratch);
  packed.luma = Take<uint8_t>(arrays, name + ".luma", 'u', scratch);
  return std::make_unique<ConvNet>(packed);
}

void ReadFaceNets(const Members& members, const Json& graphs, Memory* scratch, Bundle* bundle) {
  const Arrays arrays = ReadNpz(members.Get(kFaceNets));
  const Json meta = MetaOf(arrays);
  if (meta.At("format").Whole(0, 1 << 20) != 1 || meta.At("architecture").Text() != "edgeaff-face-nets-1") {
    throw Unsupported("the packed face networks are of another architecture");
  }
  if (meta.At("crop_size_px").Whole(32, 1024) != bundle->rules.preprocess.crop_size_px)
    throw Refused("face networks for crops of another size");
  for (const char* role : {"detector", "encoder"}) {
    const std::string& graph = graphs.At((std::string("face_") + role).c_str()).Text();
    if (meta.At(role).At("sha256").Text() != members.StatedSum(graph))
      throw Refused("face networks that were packed from other graphs");
  }
  const std::vector<Json>& outputs = meta.At("detector").At("outputs").List();
  const char* const maps[3] = {"map_8", "map_16", "map_32"};
  for (int i = 0; i < 3; ++i) {
    int found = -1;
    for (size_t k = 0; k < outputs.size(); ++k) found = outputs[k].Text() == maps[i] ? static_cast<int>(k) : found;
    if (found < 0 || found > 2) throw Refused(std::string("a detector without ") + maps[i]);
    bundle->detector_rules.map_order[i] = found;
  }
  bundle->detector = ReadNet(arrays, "detector", scratch);
  bundle->encoder = ReadNet(arrays, "encoder", scratch);
}

int64_t Nanoseconds(const Json& seconds, double low, double high) { return RoundToNs(seconds.Number(low, high)); }

void ReadSpec(const Json& spec, PreprocessRules* rules) {
  if (spec.At("version").Whole(1, 1000) != 2 || spec.At("lld_version").Whole(1, 1000) != 1)
    throw Unsupported("the preprocessing is of another version");
  if (spec.At("crop_rule").Text() != "box_centre_square_v1") throw Unsupported("the crop rule is not known");
  if (spec.At("detector_id").Text() != "edgeaff-ssd")
    throw Unsupported("the model was trained with another face detector");
  rules->model_rate_hz = spec.At("model_rate_hz").Whole(1, 240);
  rules->audio_lag_ns = Nanoseconds(spec.At("audio_lag_seconds"), 0, 10);
  rules->audio_context_steps = spec.At("audio_context_steps").Whole(1, 1024);
  rules->audio_vector_size = spec.At("audio_vector_size").Whole(rules->audio_context_steps * kLldSize, 1 << 20);
  rules->lld_max_pitch_lag = spec.At("lld_max_pitch_lag").Whole(0, 29);
  rules->crop_margin = spec.At("crop_margin").Number(0.1, 10);
  rules->crop_size_px = spec.At("crop_size_px").Whole(8, 1024);
  rules->face_staleness_ns = Nanoseconds(spec.At("face_staleness_seconds"), 1e-3, 60);
  NormalizerRules& normalizer = rules->normalizer;
  const std::string& kind = spec.At("audio_normalization").Text();
  if (kind != "adaptive" && kind != "fixed") throw Unsupported("the normalization of the audio is not known");
  normalizer.adaptive = kind == "adaptive";
  normalizer.half_life_seconds = spec.At("adaptive_half_life_seconds").Number(1e-3, 86'400);
  normalizer.prior_seconds = spec.At("adaptive_prior_seconds").Number(0, 86'400);
  normalizer.learning_seconds = spec.At("adaptive_learning_seconds").Number(0, 86'400);
  normalizer.silence_gate_rms = spec.At("silence_gate_rms").Number(0, 1);
  normalizer.step_seconds = 1.0 / rules->model_rate_hz;
}

std::vector<double> Numbers(const Json& list, size_t least, size_t most, double low, double high) {
  if (list.List().size() < least || list.List().size() > most)
    throw Refused("a list of another length than it must have");
  std::vector<double> numbers;
  for (const Json& item : list.List()) numbers.push_back(item.Number(low, high));
  return numbers;
}

void ReadUncertainty(const Json& values, UncertaintyTable* table) {
  const auto axis = [&](const char* name) {
    std::vector<double> numbers = Numbers(values.At(name), 1, kMostCoverages, 0, 1);
    for (size_t i = 1; i < numbers.size(); ++i) {
      if (!(numbers[i - 1] < numbers[i])) throw Refused("coverages that do not rise");
    }
    return numbers;
  };
  table->video_coverage = axis("video_coverage"), table->audio_coverage = axis("audio_coverage");
  const auto grid = [&](const char* name) {
    const std::vector<Json>& rows = values.At(name).List();
    if (rows.size() != table->video_coverage.size()) throw Refused("a grid of another size than its axes");
    std::vector<double> numbers;
    for (const Json& row : rows) {
      for (const double number : Numbers(row, table->audio_coverage.size(), table->audio_coverage.size(), 0, 10))
        numbers.push_back(number);
    }
    return numbers;
  };
  table->valence_std = grid("valence_std"), table->arousal_std = grid("arousal_std");
  table->abstain_above_std = values.At("abstain_above_std").Number(0, 10);
  table->audio_only_valence_max_std = values.At("audio_only_valence_max_std").Number(0, 10);
}

void ReadManifest(const Json& manifest, Bundle* bundle) {
  if (manifest.At("schema").Whole(0, 1 << 30) != 1) throw Unsupported("the bundle is of another schema");
  ReadSpec(manifest.At("spec"), &bundle->rules.preprocess);
  NormalizerRules& normalizer = bundle->rules.preprocess.normalizer;
  const Json& statistics = manifest.At("statistics");
  const std::vector<double> mean = Numbers(statistics.At("lld_mean"), kLldSize, kLldSize, -1e12, 1e12);
  const std::vector<double> std = Numbers(statistics.At("lld_std"), kLldSize, kLldSize, 1e-12, 1e12);
  for (int i = 0; i < kLldSize; ++i)
    normalizer.mean[i] = mean[static_cast<size_t>(i)], normalizer.std[i] = std[static_cast<size_t>(i)];
  ReadUncertainty(manifest.At("uncertainty"), &bundle->rules.uncertainty);
  const Json& smoothing = manifest.At("smoothing");
  bundle->rules.valence_seconds = smoothing.At("valence_seconds").Number(0, 60);
  bundle->rules.arousal_seconds = smoothing.At("arousal_seconds").Number(0, 60);
  const Json& detector = manifest.At("detector");
  if (const Json* value = detector.Find("score_threshold"))
    bundle->detector_rules.score_threshold = value->Number(1e-6, 1 - 1e-6);
  if (const Json* value = detector.Find("input_long_side"))
    bundle->detector_rules.input_long_side = value->Whole(32, 4096);
  if (bundle->detector_rules.input_long_side % 32 != 0) throw Refused("a detector whose input is no multiple of 32");
  if (const Json* value = detector.Find("stride")) bundle->detector_stride = value->Whole(1, 1000);
}

}  // namespace

std::unique_ptr<Bundle> ReadBundle(Bytes data, Memory* scratch) {
  const Members members(data);
  auto bundle = std::make_unique<Bundle>();
  bundle->manifest = std::string(TextOf(members.Get(kManifest)));
  const Json manifest = [&] {
    const Memory::Scope scope(scratch);
    return Json::Parse(bundle->manifest);
  }();
  ReadManifest(manifest, bundle.get());
  if (!members.Has(kStep)) throw Unsupported("the bundle has no packed step (step.npz)");
  if (!members.Has(kFaceNets)) throw Unsupported("the bundle has no packed face networks (face_nets.npz)");
  bundle->step = ReadStep(members.Get(kStep), scratch);
  bundle->rules.states_std = bundle->step->sizes().spread_size > 0;
  if (members.Has(kSpeech)) bundle->rules.preprocess.speech = ReadSpeech(members.Get(kSpeech));
  ReadFaceNets(members, manifest.At("graphs"), scratch, bundle.get());
  if (bundle->step->sizes().audio_size != bundle->rules.preprocess.audio_vector_size)
    throw Refused("a step for audio vectors of another size");
  const int size = bundle->rules.preprocess.crop_size_px;
  const ConvNet::Shape shape = bundle->encoder->OutputShape(0, size, size);
  if (bundle->step->sizes().video_size != shape.rows * shape.columns * shape.values)
    throw Refused("a step for descriptors of another size");
  return bundle;
}

}  // namespace edgeaff
