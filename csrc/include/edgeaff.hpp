// edgeaff.hpp: a header-only C++17 wrapper of edgeaff.h. Objects free themselves; failures are edgeaff::Error.
#pragma once
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "edgeaff.h"

namespace edgeaff {

// A failed call. code: an EDGEAFF_E_*.
class Error : public std::runtime_error {
 public:
  Error(int32_t code, const std::string& message) : std::runtime_error(message), code_(code) {}
  int32_t code() const { return code_; }

 private:
  int32_t code_;
};

using Event = edgeaff_event;
using Image = edgeaff_image;
using Options = edgeaff_options;

inline Options DefaultOptions() {
  Options options{};
  EDGEAFF_INIT(options);
  edgeaff_options_default(&options);
  return options;
}

// A packed RGB image of the caller's.
inline Image Rgb(const uint8_t* data, int32_t width, int32_t height) {
  Image image{};
  EDGEAFF_INIT(image);
  image.pixels = EDGEAFF_PIXELS_RGB;
  image.width = width, image.height = height;
  image.planes[0] = data;
  return image;
}

// A loaded bundle; copies share it.
class Model {
 public:
  explicit Model(const char* path, const edgeaff_allocator* allocator = nullptr) {
    edgeaff_error error{};
    EDGEAFF_INIT(error);
    const int32_t code = edgeaff_model_open(path, allocator, &model_, &error);
    if (code < 0) throw Error(code, error.message);
  }
  Model(const Model& other) : model_(other.model_) { edgeaff_model_retain(model_); }
  Model(Model&& other) noexcept : model_(std::exchange(other.model_, nullptr)) {}
  Model& operator=(Model other) noexcept {
    std::swap(model_, other.model_);
    return *this;
  }
  ~Model() { edgeaff_model_release(model_); }

  edgeaff_model* get() const { return model_; }

 private:
  edgeaff_model* model_ = nullptr;
};

// One stream of frames and audio. One thread at a time.
class Session {
 public:
  explicit Session(const Model& model, const Options& options = DefaultOptions()) {
    edgeaff_error error{};
    EDGEAFF_INIT(error);
    const int32_t code = edgeaff_session_create(model.get(), &options, &session_, &error);
    if (code < 0) throw Error(code, error.message);
  }
  Session(Session&& other) noexcept : session_(std::exchange(other.session_, nullptr)) {}
  Session& operator=(Session&& other) noexcept {
    std::swap(session_, other.session_);
    return *this;
  }
  ~Session() { edgeaff_session_destroy(session_); }

  void PushFrame(const Image& image, int64_t pts_ns) { Check(edgeaff_push_frame(session_, &image, pts_ns)); }
  void PushAudio(const int16_t* samples, size_t count, int32_t rate_hz, int64_t pts_ns) {
    Check(edgeaff_push_audio_i16(session_, samples, count, rate_hz, pts_ns));
  }
  void PushAudio(const float* samples, size_t count, int32_t rate_hz, int64_t pts_ns) {
    Check(edgeaff_push_audio_f32(session_, samples, count, rate_hz, pts_ns));
  }
  void Advance(int64_t pts_ns) { Check(edgeaff_advance(session_, pts_ns)); }
  void Finish() { Check(edgeaff_finish(session_)); }
  void Reset() { Check(edgeaff_reset(session_)); }

  // The oldest event that waits.
  std::optional<Event> Poll() {
    Event event{};
    EDGEAFF_INIT(event);
    if (Check(edgeaff_poll(session_, &event)) == 0) return std::nullopt;
    return event;
  }

  edgeaff_session* get() const { return session_; }

 private:
  int32_t Check(int32_t code) const {
    if (code < 0) throw Error(code, edgeaff_message(session_));
    return code;
  }

  edgeaff_session* session_ = nullptr;
};

}  // namespace edgeaff
