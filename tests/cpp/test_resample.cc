// The resampler: chunking, length, a tone in its place.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "check.h"
#include "edgeaff/cpu_features.h"
#include "lld/resample.h"
#include "recordings.h"

namespace {

std::vector<float> Resample(const std::vector<float>& samples, int rate_hz, size_t chunk) {
  edgeaff::Resampler resampler(rate_hz, 16000);
  std::vector<float> output;
  for (size_t start = 0; start < samples.size(); start += chunk) {
    const size_t size = std::min(chunk, samples.size() - start);
    std::vector<float> part(resampler.OutputsOfPush(size));  // of exactly the promised size
    CHECK(resampler.Push(samples.data() + start, size, part.data()) == part.size());
    output.insert(output.end(), part.begin(), part.end());
  }
  std::vector<float> rest(resampler.OutputsOfFinish());
  CHECK(resampler.Finish(rest.data()) == rest.size());
  output.insert(output.end(), rest.begin(), rest.end());
  return output;
}

void TestRate(int rate_hz) {
  std::vector<float> tone(static_cast<size_t>(rate_hz / 4));
  for (size_t i = 0; i < tone.size(); ++i) {
    tone[i] = static_cast<float>(0.5 * std::sin(2 * 3.14159265358979 * 1000 * static_cast<double>(i) / rate_hz));
  }
  const auto whole = Resample(tone, rate_hz, tone.size());
  CHECK(whole.size() == (tone.size() * 16000 + static_cast<size_t>(rate_hz) - 1) / static_cast<size_t>(rate_hz));
  for (size_t chunk : {1, 7, 533, 5000}) CHECK(Resample(tone, rate_hz, chunk) == whole);
  for (size_t i = 200; i + 200 < whole.size(); ++i) {
    CHECK(std::abs(whole[i] - 0.5 * std::sin(2 * 3.14159265358979 * static_cast<double>(i) / 16)) < 2e-5);
  }
}

}  // namespace

int main() {
  for (const char* name : {"scalar", "best"}) {
    CHECK(edgeaff::SetInstructionSetLimit(name));
    for (int rate_hz : {8000, 11025, 16000, 22050, 44100, 44101, 48000, 95999, 96000}) TestRate(rate_hz);
  }
  std::printf("resampler: all checks hold\n");
  return 0;
}
