// Every door of edgeaff.h with what no caller should give, for the sanitizers: `c_doors BUNDLE SEED CALLS`. Standard
// input: bundles, each behind its size (int64); each is opened, and runs if it opens. Then CALLS random calls go to
// sessions over BUNDLE. Memory that is passed in is exactly as large as declared, so that a read beyond it is seen.
// Standard output: how many bundles opened, and how many calls were taken and refused.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.h"
#include "edgeaff.h"

namespace {

constexpr int kSide = 96;
int64_t g_taken = 0, g_refused = 0;

class Chance {
 public:
  explicit Chance(uint64_t seed) : engine_(seed) {}
  int64_t Below(int64_t count) { return static_cast<int64_t>(engine_() % static_cast<uint64_t>(count)); }
  bool Once(int of) { return Below(of) == 0; }
  template <typename T, size_t N>
  T Of(const T (&choices)[N]) {
    return choices[Below(N)];
  }
  template <typename T>
  std::vector<T> Noise(size_t count) {
    std::vector<T> values(count);
    for (T& value : values) value = static_cast<T>(engine_());
    return values;
  }
  float Number() {
    static const float kOdd[] = {0.0f, -0.0f, NAN, INFINITY, -INFINITY, 1e38f, 1e-42f, 3.0f};
    return Once(40) ? Of(kOdd) : static_cast<float>(Below(2001) - 1000) / 1000.0f;
  }

 private:
  std::mt19937_64 engine_;
};

void Count(int32_t code) {
  CHECK(code >= EDGEAFF_E_INTERNAL && code != EDGEAFF_E_INTERNAL);
  ++(code < 0 ? g_refused : g_taken);
}

edgeaff_options Options(Chance* chance, bool odd) {
  edgeaff_options options;
  EDGEAFF_INIT(options);
  edgeaff_options_default(&options);
  options.most_width = options.most_height = kSide, options.most_rate_hz = 48'000;
  options.max_faces = static_cast<int32_t>(1 + chance->Below(3));
  options.event_room = chance->Once(2) ? 1 : 64;
  options.live = static_cast<int32_t>(chance->Below(2));
  options.audio = static_cast<int32_t>(!chance->Once(5));
  if (!odd) return options;
  static const int32_t kNumbers[] = {0, 1, 2, -1, 7, 64, INT32_MAX, INT32_MIN};
  static const double kSeconds[] = {0.0, -1.0, 1e-9, 61.0, 1e300, NAN, INFINITY, 0.5};
  int32_t* const wholes[] = {&options.video,      &options.audio,      &options.max_faces,    &options.detector_stride,
                             &options.threads,    &options.live,       &options.most_rate_hz, &options.event_room,
                             &options.most_width, &options.most_height};
  double* const seconds[] = {&options.smoothing_valence_seconds, &options.smoothing_arousal_seconds,
                             &options.staleness_seconds, &options.max_skew_seconds};
  for (int i = 0; i < 2; ++i) {
    if (chance->Once(2)) *chance->Of(wholes) = chance->Of(kNumbers);
    if (chance->Once(2)) *chance->Of(seconds) = chance->Of(kSeconds);
  }
  if (options.event_room > 64) options.event_room = 64;  // right, and large
  if (chance->Once(4)) options.size = static_cast<uint32_t>(chance->Below(2 * sizeof(options)));
  if (options.size > sizeof(options)) options.size = sizeof(options);  // more would be memory that is not there
  return options;
}

edgeaff_session* NewSession(edgeaff_model* model, Chance* chance) {
  for (;;) {
    const edgeaff_options options = Options(chance, chance->Once(2));
    edgeaff_session* session = nullptr;
    edgeaff_error error;
    EDGEAFF_INIT(error);
    const int32_t code = edgeaff_session_create(model, &options, &session, chance->Once(2) ? &error : nullptr);
    CHECK((code == EDGEAFF_OK) == (session != nullptr));
    Count(code);
    if (session != nullptr) return session;
  }
}

int64_t Time(Chance* chance, int64_t* now) {
  static const int64_t kOdd[] = {0, -1, INT64_MAX, INT64_MIN, INT64_MAX - 1, int64_t{1} << 62};
  *now += 20'000'000 + chance->Below(30'000'000);
  if (chance->Once(60)) *now += chance->Below(40'000'000'000) - 20'000'000'000;
  return chance->Once(60) ? chance->Of(kOdd) : *now;
}

int32_t PushFrame(edgeaff_session* session, Chance* chance, int64_t pts_ns) {
  edgeaff_image image;
  std::memset(&image, 0, sizeof(image));
  EDGEAFF_INIT(image);
  image.pixels = static_cast<int32_t>(chance->Below(4)), image.width = static_cast<int32_t>(1 + chance->Below(kSide));
  image.height = static_cast<int32_t>(1 + chance->Below(kSide));
  if (image.pixels == EDGEAFF_PIXELS_NV12 && !chance->Once(8)) image.width &= ~1, image.height &= ~1;
  const bool color = image.pixels <= EDGEAFF_PIXELS_BGR;
  const ptrdiff_t pixel = (color ? 3 : 1) + (chance->Once(4) && color ? chance->Below(3) : 0);
  const ptrdiff_t row = image.width * pixel + chance->Below(9), rows = image.height + (image.height + 1) / 2;
  const std::vector<uint8_t> memory = chance->Noise<uint8_t>(static_cast<size_t>(row * rows) + 1);
  image.planes[0] = memory.data(), image.row_stride[0] = row, image.pixel_stride = pixel;
  if (image.pixels == EDGEAFF_PIXELS_NV12) {
    image.planes[1] = memory.data() + row * image.height, image.row_stride[1] = row;
  } else if (chance->Once(4)) {
    image.planes[0] += row * (image.height - 1), image.row_stride[0] = -row;
  }
  static const int32_t kOdd[] = {0, -1, INT32_MAX, INT32_MIN, 16'384, 9};
  if (chance->Once(20)) image.width = chance->Of(kOdd), image.planes[0] = nullptr;
  if (chance->Once(20)) image.pixels = chance->Of(kOdd), image.planes[0] = nullptr;
  if (chance->Once(40)) image.size = static_cast<uint32_t>(chance->Below(sizeof(image)));
  return edgeaff_push_frame(session, chance->Once(60) ? nullptr : &image, pts_ns);
}

int32_t PushAudio(edgeaff_session* session, Chance* chance, int64_t pts_ns) {
  static const int32_t kRates[] = {16'000, 16'000, 16'000, 8'000, 48'000, 44'100, 0, -1, 7'999, 96'000, INT32_MAX};
  const int32_t rate_hz = chance->Of(kRates);
  const size_t count = static_cast<size_t>(chance->Below(2400));
  if (chance->Once(2)) {
    const std::vector<int16_t> samples = chance->Noise<int16_t>(count);
    return edgeaff_push_audio_i16(session, chance->Once(60) ? nullptr : samples.data(), count, rate_hz, pts_ns);
  }
  std::vector<float> samples(count);
  for (float& sample : samples) sample = chance->Number();
  return edgeaff_push_audio_f32(session, samples.data(), count, rate_hz, pts_ns);
}

int32_t PushFaces(edgeaff_session* session, Chance* chance, int64_t pts_ns) {
  static const int32_t kCounts[] = {0, 1, 1, 2, 3};
  const int32_t count = chance->Of(kCounts);
  const std::vector<uint8_t> crop = chance->Noise<uint8_t>(96 * 96 * 3);
  std::vector<edgeaff_face> faces(static_cast<size_t>(count));
  for (edgeaff_face& face : faces) {
    std::memset(&face, 0, sizeof(face));
    EDGEAFF_INIT(face);
    face.track_id = chance->Once(9) ? INT64_MAX : chance->Below(4), face.score = chance->Number();
    for (double& side : face.box) side = 90.0 * chance->Number();
    face.crop = chance->Once(30) ? nullptr : crop.data();
    if (chance->Once(30)) face.size = static_cast<uint32_t>(chance->Below(sizeof(face)));
  }
  return edgeaff_push_faces(session, faces.data(), chance->Once(40) ? -1 : count, pts_ns);
}

int32_t PushRows(edgeaff_session* session, Chance* chance, int64_t pts_ns) {
  const int32_t count = static_cast<int32_t>(chance->Below(12));
  std::vector<float> rows(static_cast<size_t>(count) * 65);
  for (float& value : rows) value = chance->Once(999) ? chance->Number() : static_cast<float>(chance->Below(9)) / 4.0f;
  return edgeaff_push_rows(session, rows.data(), count, pts_ns);
}

void Poll(edgeaff_session* session, Chance* chance) {
  std::vector<char> memory(sizeof(edgeaff_event));  // with a size below its own, no byte behind it is written
  edgeaff_event event;
  std::memset(&event, 0x55, sizeof(event));
  event.size = chance->Once(4) ? static_cast<uint32_t>(chance->Below(sizeof(event))) : sizeof(event);
  const uint32_t size = event.size;
  const int32_t code = edgeaff_poll(session, &event);
  Count(code);
  if (code != 1) return;
  for (size_t at = size; at < sizeof(event); ++at) CHECK(reinterpret_cast<const char*>(&event)[at] == 0x55);
  if (size == sizeof(event)) CHECK(!(std::fabs(event.valence) > 1.5) && !(std::fabs(event.arousal) > 1.5));
}

void Call(edgeaff_session* session, Chance* chance, int64_t* now) {
  const int64_t pts_ns = Time(chance, now), what = chance->Below(100);
  if (what < 35)
    Count(PushFrame(session, chance, pts_ns));
  else if (what < 65)
    Count(PushAudio(session, chance, pts_ns));
  else if (what < 72)
    Count(PushFaces(session, chance, pts_ns));
  else if (what < 80)
    Count(PushRows(session, chance, pts_ns));
  else if (what < 82)
    Count(edgeaff_advance(session, pts_ns));
  else if (what < 83)
    Count(edgeaff_degrade(session, static_cast<int32_t>(chance->Below(5) - 1)));
  else if (what < 84)
    Count(edgeaff_finish(session));
  else if (what < 87)
    Count(edgeaff_reset(session));
  else if (what < 88)
    CHECK(std::strlen(edgeaff_message(session)) < 248);
  else
    Poll(session, chance);
}

void RunBundle(const std::vector<char>& bytes, Chance* chance, int64_t* opened) {
  edgeaff_model* model = nullptr;
  edgeaff_error error;
  EDGEAFF_INIT(error);
  const int32_t code = edgeaff_model_open_bytes(bytes.data(), bytes.size(), nullptr, &model, &error);
  CHECK((code == EDGEAFF_OK) == (model != nullptr) && code != EDGEAFF_E_INTERNAL);
  if (model == nullptr) return;
  ++*opened;
  edgeaff_options options = Options(chance, false);
  edgeaff_session* session = nullptr;
  if (edgeaff_session_create(model, &options, &session, &error) == EDGEAFF_OK) {
    int64_t now = 0;
    for (int i = 0; i < 12; ++i) Call(session, chance, &now);
  }
  edgeaff_session_destroy(session);
  edgeaff_model_release(model);
}

}  // namespace

int main(int count, char** arguments) {
  CHECK(count == 4);
  Chance chance(std::strtoull(arguments[2], nullptr, 10));
  int64_t bundles = 0, opened = 0, size = 0;
  for (; std::fread(&size, sizeof(size), 1, stdin) == 1; ++bundles) {
    std::vector<char> bytes(static_cast<size_t>(size));
    CHECK(std::fread(bytes.data(), 1, bytes.size(), stdin) == bytes.size());
    RunBundle(bytes, &chance, &opened);
  }
  edgeaff_model* model = nullptr;
  CHECK(edgeaff_model_open(arguments[1], nullptr, &model, nullptr) == EDGEAFF_OK);
  const int64_t calls = std::strtoll(arguments[3], nullptr, 10);
  int64_t now = 0;
  edgeaff_session* session = NewSession(model, &chance);
  for (int64_t call = 0; call < calls; ++call) {
    if (chance.Once(80)) {
      edgeaff_session_destroy(session);
      session = NewSession(model, &chance), now = 0;
    }
    Call(session, &chance, &now);
  }
  edgeaff_session_destroy(session);
  edgeaff_model_release(model);
  std::printf("%lld %lld %lld %lld\n", static_cast<long long>(bundles), static_cast<long long>(opened),
              static_cast<long long>(g_taken), static_cast<long long>(g_refused));
}
