// Several threads, each with its own session over one model, take the same stream through edgeaff.h and must get
// the same events byte for byte: `c_streams BUNDLE THREADS`. Standard input: width, height, number of frames, number of
// samples per frame (int32 each), then RGB frames, then int16 samples at 16 kHz. Standard output: the events as they
// lie in memory. The thread sanitizer runs it to find what sessions share.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "check.h"
#include "edgeaff.h"

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int kRateHz = 16'000, kFramesPerSecond = 30;

struct Stream {
  int32_t width = 0, height = 0, frames = 0, chunk = 0;
  std::vector<uint8_t> pixels;
  std::vector<int16_t> samples;
};

template <typename T>
void Read(T* to, size_t count) {
  CHECK(std::fread(to, sizeof(T), count, stdin) == count);
}

Stream ReadStream() {
  Stream stream;
  for (int32_t* const number : {&stream.width, &stream.height, &stream.frames, &stream.chunk}) Read(number, 1);
  stream.pixels.resize(static_cast<size_t>(stream.width) * stream.height * 3 * stream.frames);
  stream.samples.resize(static_cast<size_t>(stream.chunk) * stream.frames);
  Read(stream.pixels.data(), stream.pixels.size());
  Read(stream.samples.data(), stream.samples.size());
  return stream;
}

void Take(edgeaff_session* session, int32_t waiting, std::vector<edgeaff_event>* events) {
  CHECK(waiting >= 0);
  edgeaff_event event;
  std::memset(&event, 0, sizeof(event));
  EDGEAFF_INIT(event);
  while (edgeaff_poll(session, &event) == 1) events->push_back(event);
}

edgeaff_session* Open(edgeaff_model* model, const Stream& stream) {
  edgeaff_options options;
  EDGEAFF_INIT(options);
  edgeaff_options_default(&options);
  options.most_width = stream.width, options.most_height = stream.height, options.most_rate_hz = kRateHz;
  options.live = 0;
  edgeaff_session* session = nullptr;
  CHECK(edgeaff_session_create(model, &options, &session, nullptr) == EDGEAFF_OK);
  return session;
}

void Run(edgeaff_model* model, const Stream& stream, std::vector<edgeaff_event>* events) {
  edgeaff_model_retain(model);
  edgeaff_session* const session = Open(model, stream);
  edgeaff_model_release(model);  // the session holds it
  edgeaff_image image;
  std::memset(&image, 0, sizeof(image));
  EDGEAFF_INIT(image);
  image.width = stream.width, image.height = stream.height;
  const size_t bytes = static_cast<size_t>(stream.width) * stream.height * 3;
  for (int32_t at = 0; at < stream.frames; ++at) {
    image.planes[0] = stream.pixels.data() + at * bytes;
    Take(session, edgeaff_push_frame(session, &image, at * kSecond / kFramesPerSecond), events);
    const int64_t first = static_cast<int64_t>(at) * stream.chunk;
    Take(session,
         edgeaff_push_audio_i16(session, stream.samples.data() + first, static_cast<size_t>(stream.chunk), kRateHz,
                                first * kSecond / kRateHz),
         events);
  }
  Take(session, edgeaff_finish(session), events);
  edgeaff_session_destroy(session);
}

}  // namespace

int main(int count, char** arguments) {
  CHECK(count == 3);
  const Stream stream = ReadStream();
  edgeaff_model* model = nullptr;
  CHECK(edgeaff_model_open(arguments[1], nullptr, &model, nullptr) == EDGEAFF_OK);
  std::vector<std::vector<edgeaff_event>> events(static_cast<size_t>(std::atoi(arguments[2])));
  std::vector<std::thread> threads;
  for (std::vector<edgeaff_event>& own : events)
    threads.emplace_back([&own, &stream, model] { Run(model, stream, &own); });
  for (std::thread& thread : threads) thread.join();
  edgeaff_model_release(model);
  for (const std::vector<edgeaff_event>& own : events) {
    CHECK(own.size() == events[0].size() && !own.empty());
    CHECK(std::memcmp(own.data(), events[0].data(), own.size() * sizeof(edgeaff_event)) == 0);
  }
  std::fwrite(events[0].data(), sizeof(edgeaff_event), events[0].size(), stdout);
}
