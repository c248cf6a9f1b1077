#include "tensorrt/cross_modal_attention_plugin.h"

#include <cstring>
#include <new>

namespace edgeaff {
namespace {

using TensorType = nvinfer1::DataType;
using nvinfer1::PluginField;
using nvinfer1::PluginFieldType;
using nvinfer1::PluginTensorDesc;

constexpr char kName[] = "CrossModalAttention";
constexpr char kNamespace[] = "edgeaff";
constexpr char kVersion[] = "1";
constexpr std::array<char const*, 3> kFieldNames = {"num_heads", "band", "given"};

bool IsNarrow(int node_input) { return node_input <= kKeyValueVideo || node_input >= kResidualAudio; }

bool IsMask(int node_input) { return node_input == kKeyMaskAudio || node_input == kKeyMaskVideo; }

bool FindDataType(TensorType type, DataType* found) {
  switch (type) {
    case TensorType::kFLOAT: *found = DataType::kFloat32; return true;
    case TensorType::kHALF: *found = DataType::kFloat16; return true;
    case TensorType::kBF16: *found = DataType::kBfloat16; return true;
    default: return false;
  }
}

}  // namespace

// ---- the plugin --------------------------------------------------------------------------------------------------------

CrossModalAttentionPlugin::CrossModalAttentionPlugin(const PluginSettings& settings) : settings_(settings) {
  const int32_t* values[] = {&settings_.num_heads, &settings_.band, &settings_.given};
  for (int i = 0; i < 3; ++i) fields_[i] = PluginField(kFieldNames[i], values[i], PluginFieldType::kINT32, 1);
  collection_.nbFields = 3;
  collection_.fields = fields_.data();
}

nvinfer1::IPluginCapability* CrossModalAttentionPlugin::getCapabilityInterface(
    nvinfer1::PluginCapabilityType type) noexcept {
  switch (type) {
    case nvinfer1::PluginCapabilityType::kBUILD: return static_cast<nvinfer1::IPluginV3OneBuild*>(this);
    case nvinfer1::PluginCapabilityType::kRUNTIME: return static_cast<nvinfer1::IPluginV3OneRuntime*>(this);
    case nvinfer1::PluginCapabilityType::kCORE: return static_cast<nvinfer1::IPluginV3OneCore*>(this);
  }
  return nullptr;
}

nvinfer1::IPluginV3* CrossModalAttentionPlugin::clone() noexcept {
  return new (std::nothrow) CrossModalAttentionPlugin(settings_);
}

char const* CrossModalAttentionPlugin::getPluginName() const noexcept { return kName; }
char const* CrossModalAttentionPlugin::getPluginVersion() const noexcept { return kVersion; }
char const* CrossModalAttentionPlugin::getPluginNamespace() const noexcept { return kNamespace; }
int32_t CrossModalAttentionPlugin::getNbOutputs() const noexcept { return 1; }

int32_t CrossModalAttentionPlugin::getOutputDataTypes(TensorType* output_types, int32_t, TensorType const* input_types,
                                                      int32_t input_count) const noexcept {
  if (input_count < 1) return 1;
  output_types[0] = input_types[0];
  return 0;
}

int32_t CrossModalAttentionPlugin::getOutputShapes(nvinfer1::DimsExprs const* inputs, int32_t input_count,
                                                   nvinfer1::DimsExprs const*, int32_t, nvinfer1::DimsExprs* outputs,
                                                   int32_t, nvinfer1::IExprBuilder&) noexcept {
  if (input_count < 1) return 1;
  outputs[0] = inputs[0];
  return 0;
}

bool CrossModalAttentionPlugin::supportsFormatCombination(int32_t position,
                                                          nvinfer1::DynamicPluginTensorDesc const* in_out,
                                                          int32_t input_count, int32_t) noexcept {
  DataType first;
  const PluginTensorDesc& own = in_out[position].desc;
  if (own.format != nvinfer1::TensorFormat::kLINEAR || !FindDataType(in_out[0].desc.type, &first)) return false;
  if (position >= input_count) return own.type == in_out[0].desc.type;
  for (int node_input = 0; node_input < kNodeInputs; ++node_input) {
    if (Place(node_input) != position) continue;
    if (IsNarrow(node_input)) return own.type == in_out[0].desc.type;
    return own.type == (IsMask(node_input) ? TensorType::kBOOL : TensorType::kFLOAT);
  }
  return false;
}

int32_t CrossModalAttentionPlugin::configurePlugin(nvinfer1::DynamicPluginTensorDesc const*, int32_t,
                                                   nvinfer1::DynamicPluginTensorDesc const*, int32_t) noexcept {
  return 0;
}

int32_t CrossModalAttentionPlugin::onShapeChange(PluginTensorDesc const*, int32_t, PluginTensorDesc const*,
                                                 int32_t) noexcept {
  return 0;
}

int32_t CrossModalAttentionPlugin::enqueue(PluginTensorDesc const* input_descs, PluginTensorDesc const*,
                                           void const* const* inputs, void* const* outputs, void*,
                                           cudaStream_t stream) noexcept {
  const auto address = [&](int node_input) -> void const* {
    const int place = Place(node_input);
    return place < 0 ? nullptr : inputs[place];
  };
  const nvinfer1::Dims& query = input_descs[Place(kQueryAudio)].dims;
  const nvinfer1::Dims& pair = input_descs[Place(kKeyValueAudio)].dims;
  CrossModalAttentionParams params;
  if (query.nbDims != 3 || pair.nbDims != 3 || pair.d[2] != 2 * query.d[2] || query.d[2] % settings_.num_heads != 0 ||
      !FindDataType(input_descs[0].type, &params.data_type)) {
    return 1;
  }
  params.batch = query.d[0];
  params.query_count = query.d[1];
  params.key_count = pair.d[1];
  params.num_heads = settings_.num_heads;
  params.head_size = static_cast<int>(query.d[2] / settings_.num_heads);
  params.band = settings_.band;
  const int64_t channels = query.d[2], query_stride = params.query_count * channels;
  const auto fill = [&](AttentionModality* modality, int offset) {  // offset: 0 audio, 1 video
    modality->query = address(kQueryAudio + 2 * offset);
    modality->key_value = address(kKeyValueAudio + 2 * offset);
    modality->query_batch_stride = query_stride;
    modality->query_time_stride = channels;
    modality->key_value_batch_stride = params.key_count * 2 * channels;
    modality->key_value_time_stride = 2 * channels;
    modality->key_mask = static_cast<const uint8_t*>(address(kKeyMaskAudio + offset));
    modality->key_mask_batch_stride = params.key_count;
    modality->age_bias = static_cast<const float*>(address(kAgeBiasAudio + offset));
    modality->residual = address(kResidualAudio + offset);
    modality->residual_batch_stride = query_stride;
    modality->residual_time_stride = channels;
  };
  fill(&params.audio, 0);
  fill(&params.video, 1);
  params.alpha_pointer = static_cast<const float*>(address(kAlpha));
  params.beta_pointer = static_cast<const float*>(address(kBeta));
  params.output = outputs[0];
  params.output_batch_stride = query_stride;
  params.output_time_stride = channels;
  return CrossModalAttentionCuda(params, stream) == cudaSuccess ? 0 : 1;
}

nvinfer1::IPluginV3* CrossModalAttentionPlugin::attachToContext(nvinfer1::IPluginResourceContext*) noexcept {
  return clone();
}

nvinfer1::PluginFieldCollection const* CrossModalAttentionPlugin::getFieldsToSerialize() noexcept {
  return &collection_;
}

int CrossModalAttentionPlugin::Place(int node_input) const {
  if ((settings_.given >> node_input & 1) == 0) return -1;
  int place = 0;
  for (int before = 0; before < node_input; ++before) place += settings_.given >> before & 1;
  return place;
}

// ---- its creator -------------------------------------------------------------------------------------------------------

CrossModalAttentionCreator::CrossModalAttentionCreator() {
  for (int i = 0; i < 3; ++i) fields_[i] = PluginField(kFieldNames[i], nullptr, PluginFieldType::kINT32, 1);
  collection_.nbFields = 3;
  collection_.fields = fields_.data();
}

nvinfer1::IPluginV3* CrossModalAttentionCreator::createPlugin(char const*,
                                                              nvinfer1::PluginFieldCollection const* fields,
                                                              nvinfer1::TensorRTPhase) noexcept {
  PluginSettings settings;
  int32_t* values[] = {&settings.num_heads, &settings.band, &settings.given};
  int found = 0;
  for (int32_t i = 0; fields != nullptr && i < fields->nbFields; ++i) {
    const PluginField& field = fields->fields[i];
    for (int k = 0; k < 3; ++k) {
      if (std::strcmp(field.name, kFieldNames[k]) != 0 || field.type != PluginFieldType::kINT32 || field.length < 1)
        continue;
      *values[k] = *static_cast<const int32_t*>(field.data);
      found |= 1 << k;
    }
  }
  constexpr int32_t kRequired = (1 << (kBeta + 1)) - 1;
  if (found != 7 || settings.num_heads < 1 || (settings.given & kRequired) != kRequired) return nullptr;
  return new (std::nothrow) CrossModalAttentionPlugin(settings);
}

nvinfer1::PluginFieldCollection const* CrossModalAttentionCreator::getFieldNames() noexcept { return &collection_; }
char const* CrossModalAttentionCreator::getPluginName() const noexcept { return kName; }
char const* CrossModalAttentionCreator::getPluginVersion() const noexcept { return kVersion; }
char const* CrossModalAttentionCreator::getPluginNamespace() const noexcept { return kNamespace; }

}  // namespace edgeaff

// What IPluginRegistry::loadLibrary looks for.
extern "C" __attribute__((visibility("default"))) void setLoggerFinder(nvinfer1::ILoggerFinder*) {}

extern "C" __attribute__((visibility("default"))) nvinfer1::IPluginCreatorInterface* const* getCreators(
    int32_t& count) {
  static edgeaff::CrossModalAttentionCreator creator;
  static nvinfer1::IPluginCreatorInterface* const creators[] = {&creator};
  count = 1;
  return creators;
}
