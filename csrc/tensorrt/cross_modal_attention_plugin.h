// `edgeaff::CrossModalAttention` as a TensorRT plugin (IPluginV3, TensorRT 10 and later, TensorRT-RTX). Same name, namespace, version
// and fields as edgeaff/backends/tensorrt_plugin.py: an engine built with one runs with the other.
//
// Inputs: those of the node's twelve whose bit in `given` is set, in their order, linear. q_*, kv_* and residual_*: float, half or bf16, all
// of one type; key_mask_*: bool; alpha, beta and age_bias_*: float. Output: (B, Tq, D) of the type of q_audio.
#pragma once
#include <NvInferRuntime.h>

#include <array>
#include <cstdint>

#include "edgeaff/cross_modal_attention.h"

namespace edgeaff {

inline constexpr int kNodeInputs = 12;
enum NodeInput : int {
  kQueryAudio = 0,
  kKeyValueAudio,
  kQueryVideo,
  kKeyValueVideo,
  kAlpha,
  kBeta,
  kKeyMaskAudio,
  kKeyMaskVideo,
  kAgeBiasAudio,
  kAgeBiasVideo,
  kResidualAudio,
  kResidualVideo,
};

struct PluginSettings {
  int32_t num_heads = 0;
  int32_t band = 0;   // 0 = none
  int32_t given = 0;  // bit i: input i is there
};

class CrossModalAttentionPlugin final : public nvinfer1::IPluginV3,
                                        public nvinfer1::IPluginV3OneCore,
                                        public nvinfer1::IPluginV3OneBuild,
                                        public nvinfer1::IPluginV3OneRuntime {
 public:
  explicit CrossModalAttentionPlugin(const PluginSettings& settings);

  nvinfer1::IPluginCapability* getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept override;
  nvinfer1::IPluginV3* clone() noexcept override;

  char const* getPluginName() const noexcept override;
  char const* getPluginVersion() const noexcept override;
  char const* getPluginNamespace() const noexcept override;

  int32_t getNbOutputs() const noexcept override;
  int32_t getOutputDataTypes(nvinfer1::DataType* output_types, int32_t output_count,
                             nvinfer1::DataType const* input_types, int32_t input_count) const noexcept override;
  int32_t getOutputShapes(nvinfer1::DimsExprs const* inputs, int32_t input_count,
                          nvinfer1::DimsExprs const* shape_inputs, int32_t shape_input_count,
                          nvinfer1::DimsExprs* outputs, int32_t output_count,
                          nvinfer1::IExprBuilder& builder) noexcept override;
  bool supportsFormatCombination(int32_t position, nvinfer1::DynamicPluginTensorDesc const* in_out, int32_t input_count,
                                 int32_t output_count) noexcept override;
  int32_t configurePlugin(nvinfer1::DynamicPluginTensorDesc const* inputs, int32_t input_count,
                          nvinfer1::DynamicPluginTensorDesc const* outputs, int32_t output_count) noexcept override;

  int32_t onShapeChange(nvinfer1::PluginTensorDesc const* inputs, int32_t input_count,
                        nvinfer1::PluginTensorDesc const* outputs, int32_t output_count) noexcept override;
  int32_t enqueue(nvinfer1::PluginTensorDesc const* input_descs, nvinfer1::PluginTensorDesc const* output_descs,
                  void const* const* inputs, void* const* outputs, void* workspace,
                  cudaStream_t stream) noexcept override;
  nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext* context) noexcept override;
  nvinfer1::PluginFieldCollection const* getFieldsToSerialize() noexcept override;

 private:
  int Place(int node_input) const;  // among the inputs that are given, -1 where it is not

  PluginSettings settings_;
  std::array<nvinfer1::PluginField, 3> fields_;
  nvinfer1::PluginFieldCollection collection_;
};

class CrossModalAttentionCreator final : public nvinfer1::IPluginCreatorV3One {
 public:
  CrossModalAttentionCreator();
  // Returns null where a field is missing.
  nvinfer1::IPluginV3* createPlugin(char const* name, nvinfer1::PluginFieldCollection const* fields,
                                    nvinfer1::TensorRTPhase phase) noexcept override;
  nvinfer1::PluginFieldCollection const* getFieldNames() noexcept override;
  char const* getPluginName() const noexcept override;
  char const* getPluginVersion() const noexcept override;
  char const* getPluginNamespace() const noexcept override;

 private:
  std::array<nvinfer1::PluginField, 3> fields_;
  nvinfer1::PluginFieldCollection collection_;
};

}  // namespace edgeaff
