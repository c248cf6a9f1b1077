// The single-shot face detector on its native network. Twin: SsdDetector in edgeaff/detection/ssd.py.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "core/parts.h"
#include "edgeaff/conv_net.h"
#include "vision/decode_maps.h"

namespace edgeaff {

struct SsdRules {
  double score_threshold = 0.6;
  int input_long_side = 320;     // a multiple of 32
  int map_order[3] = {0, 1, 2};  // output of the network that is the map of stride 8, 16, 32
};

// A candidate that the network is not sure of gets a second look: the image around it, enlarged, goes through the same network
// once more, and the two answers are averaged.
class SsdDetector : public FaceDetector {
 public:
  // net: stays the caller's; three maps of at least 15 values.
  SsdDetector(const ConvNet& net, const SsdRules& rules);

  void Detect(const ImageView& image, std::vector<FaceDetection>* found) override;

 private:
  // How an image lies in the network's input: scaled without changing its shape, at the upper left, black beside it.
  struct Letterbox {
    int width = 0, height = 0, canvas_width = 0, canvas_height = 0;
    double scale_x = 1, scale_y = 1;
  };
  // Memory of one input size.
  struct Bound {
    int width = 0, height = 0;
    std::unique_ptr<char[]> workspace;
    std::vector<uint8_t> canvas;  // (3, height, width)
    std::vector<float> maps[3];
    float* outputs[3];
    DetectorMap views[3];
  };
  struct Found {
    float box[4], score;
  };

  Letterbox Fit(int width, int height) const;
  void Bind(int width, int height, Bound* bound) const;
  const DetectorMap* Run(Bound* bound) const;
  float LookAgain(const ImageView& image, const Found& found);
  void DropCovered();

  const ConvNet& net_;
  SsdRules rules_;
  Letterbox letterbox_;
  Bound whole_, look_;
  std::vector<Found> found_;
};

// The face encoder on its native network.
class NetEncoder : public FaceEncoder {
 public:
  NetEncoder(const ConvNet& net, int crop_size_px);

  void Encode(const uint8_t* crop, std::vector<float>* descriptor) override;

 private:
  const ConvNet& net_;
  int size_;
  int64_t output_size_;
  std::unique_ptr<char[]> workspace_;
};

}  // namespace edgeaff
