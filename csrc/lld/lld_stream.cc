#include "lld/lld_stream.h"

#include <cstring>

#include "lld/energy.h"
#include "lld/octave_spectrum.h"
#include "lld/pitch_candidates.h"
#include "lld/samples.h"
#include "lld/spectral.h"
#include "lld/windows.h"

namespace edgeaff {

using namespace lld;  // NOLINT: the room's own names

namespace {

constexpr float kGateRms = 0.001f;  // at or below it the Gaussian-windowed frame is unvoiced

// The 20 ms columns beside each other, as smoothed: 6-8, then 10-64.
constexpr int kFirstPart = kZeroCrossingColumn - kAuditoryColumn;
constexpr int kSecondPart = kColumns - kRastaColumn;

// Audio that must stay: a frame examined for voice quality is at most max_pitch_lag + 2 hops behind the newest one.
int HistorySamples(int max_pitch_lag) {
  return VoiceQuality::kMostCarry + (max_pitch_lag + 2) * kHop + kLongWindow + kHop;
}

}  // namespace

LldStream::LldStream(int max_pitch_lag)
    : ops_(BestVectorOps()), history_(HistorySamples(max_pitch_lag)), tracker_(max_pitch_lag) {
  Reset();
}

void LldStream::Reset() {
  history_.Reset();
  rows_.Reset();
  marks_ = {0, 0, 0};
  short_frames_ = long_frames_ = pitch_frames_ = 0;
  finished_ = false;
  rasta_.Reset();
  tracker_.Reset();
  quality_.Reset();
  smooth_spectral_.Reset();
  smooth_zcr_.Reset();
  smooth_pitch_.Reset();
}

int64_t LldStream::state_bytes() const {
  return static_cast<int64_t>(sizeof(*this)) + history_.size_bytes() + rows_.size_bytes();
}

int64_t LldStream::FinalRows() const {
  int64_t rows = marks_.pitch;
  if (marks_.zcr < rows) rows = marks_.zcr;
  if (marks_.spectral < rows) rows = marks_.spectral;
  return rows;
}

int64_t LldStream::rows_ready() const { return FinalRows() - rows_.first(); }

void LldStream::Pop(int64_t n, float* out) { rows_.Pop(n, out); }

template <typename Sample>
int64_t LldStream::PushAny(const Sample* samples, size_t n) {
  const int64_t before = FinalRows();
  while (n > 0) {
    int granted;  // at most a hop, so that no frame is overrun
    float* room = history_.Room(n < kHop ? static_cast<int>(n) : kHop, &granted);
    for (int i = 0; i < granted; ++i) room[i] = ToLldScale(samples[i]);
    history_.Commit(granted);
    samples += granted;
    n -= static_cast<size_t>(granted);
    Advance();
  }
  return FinalRows() - before;
}

int64_t LldStream::Push(const int16_t* samples, size_t n) { return PushAny(samples, n); }
int64_t LldStream::Push(const float* samples, size_t n) { return PushAny(samples, n); }

void LldStream::Advance() {
  while (history_.count() >= short_frames_ * kHop + kShortWindow) ShortFrame();
  while (history_.count() >= long_frames_ * kHop + kLongWindow) LongFrame();
}

void LldStream::ShortFrame() {
  float frame[kShortWindow], windowed[kShortFft], power[kShortBins], bands[kBands], row[kSpectralWidth];
  double logs[kBands], exact_power[kShortBins];
  history_.Copy(short_frames_ * kHop, kShortWindow, frame);
  float* magnitudes = magnitudes_[short_frames_ & 1];
  const float* previous = short_frames_ > 0 ? magnitudes_[(short_frames_ - 1) & 1] : nullptr;
  WindowShort(frame, windowed);
  ops_.magnitudes_512(windowed, magnitudes, exact_power);
  for (int k = 0; k < kShortBins; ++k) power[k] = magnitudes[k] * magnitudes[k];

  MelBands(power, bands);
  LogBands(ops_, bands, logs);
  float* rasta = row + kFirstPart;
  row[0] = AuditoryLength(ops_, logs);
  rasta_.Step(ops_, logs, rasta);
  double sum = 0.0;
  for (int m = 0; m < kBands; ++m) sum += rasta[m];
  row[1] = static_cast<float>(sum / kBands);
  row[kEnergyColumn - kAuditoryColumn] = RootMeanSquare(ops_, frame, kShortWindow);
  SpectralShape(ops_, magnitudes, power, exact_power, windowed, previous, rasta + (kSpectralColumn - kRastaColumn));
  Mfcc(ops_, logs, rasta + (kMfccColumn - kRastaColumn));
  ++short_frames_;

  float smooth[kSpectralWidth];
  if (!smooth_spectral_.Push(row, smooth)) return;
  float* out = rows_.Row(marks_.spectral++);
  std::memcpy(out + kAuditoryColumn, smooth, kFirstPart * sizeof(float));
  std::memcpy(out + kRastaColumn, smooth + kFirstPart, kSecondPart * sizeof(float));
}

void LldStream::LongFrame() {
  float frame[kLongWindow], windowed[kLongFft], magnitudes[kLongBins], octaves[kLongBins];
  history_.Copy(long_frames_ * kHop, kLongWindow, frame);
  const float zcr = ZeroCrossingRate(ops_, frame);
  float smooth;
  if (smooth_zcr_.Push(&zcr, &smooth)) rows_.Row(marks_.zcr++)[kZeroCrossingColumn] = smooth;

  WindowLong(frame, windowed);
  silent_[long_frames_ & 31] = RootMeanSquare(ops_, windowed, kLongWindow) <= kGateRms;
  ops_.magnitudes_1024(windowed, magnitudes);
  OctaveSpectrum(ops_, magnitudes, octaves);
  Pitch decided[PitchTracker::kMostDecided];
  const int count = tracker_.Step(FindPitchCandidates(ops_, octaves), decided);
  ++long_frames_;
  PitchFrames(decided, count);
}

void LldStream::PitchFrames(const Pitch* decided, int count) {
  for (int k = 0; k < count; ++k) {
    const bool silent = silent_[pitch_frames_ & 31];
    const float f0 = silent ? 0.0f : decided[k].f0_hz;
    const Quality quality = quality_.Step(ops_, pitch_frames_, f0, history_);
    ++pitch_frames_;
    const float row[6] = {f0,
                          silent ? 0.0f : decided[k].voicing,
                          quality.jitter_local,
                          quality.jitter_ddp,
                          quality.shimmer_local,
                          quality.log_hnr};
    float smooth[6];
    if (!smooth_pitch_.Push(row, smooth)) continue;
    std::memcpy(rows_.Row(marks_.pitch++) + kPitchColumn, smooth, sizeof(smooth));
  }
}

int64_t LldStream::Finish(bool compatible) {
  const int64_t before = FinalRows();
  finished_ = true;
  if (long_frames_ == 0) return 0;
  float early[6], early_behind[6];  // where the peer's tracker was when the audio ended
  const int64_t early_row = marks_.pitch;
  const bool imitate = smooth_pitch_.Edge(early, early_behind) && compatible;

  Pitch decided[PitchTracker::kMostDecided];
  PitchFrames(decided, tracker_.Finish(decided));
  float last[6], behind[6], zcr = 0.0f, zcr_behind = 0.0f;
  smooth_pitch_.Edge(last, behind);
  std::memcpy(rows_.Row(marks_.pitch++), last, sizeof(last));
  std::memcpy(rows_.Row(marks_.pitch++), behind, sizeof(behind));
  smooth_zcr_.Edge(&zcr, &zcr_behind);
  rows_.Row(marks_.zcr++)[kZeroCrossingColumn] = zcr;
  rows_.Row(marks_.zcr++)[kZeroCrossingColumn] = zcr_behind;
  marks_.spectral = long_frames_ + 1;  // the 20 ms columns are ahead; their rows behind that are not used
  if (imitate) {
    constexpr size_t kSize = 4 * sizeof(float);
    std::memcpy(rows_.Row(early_row) + kQualityColumn, early + kQualityColumn, kSize);
    std::memcpy(rows_.Row(early_row + 1) + kQualityColumn, early_behind + kQualityColumn, kSize);
  }
  return FinalRows() - before;
}

}  // namespace edgeaff
