#include "core/audio_front.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/tick_clock.h"
#include "lld/constants.h"

namespace edgeaff {
namespace {

constexpr int64_t kResamplerDelayNs = 4 * kMillisecond;  // the most that any rate needs
constexpr int64_t kPitchWindowNs = 60 * kMillisecond, kShortWindowNs = 20 * kMillisecond;
constexpr size_t kBlock = 1024;  // samples that are cleaned, resampled or filled in one go
constexpr int64_t kPoppedRows = 64;
static_assert(kLldSize == lld::kColumns);

// Columns by analysis window: pitch and voice quality, zero crossings, all others.
std::vector<ColumnGroup> Groups() {
  std::vector<ColumnGroup> groups = {{{}, kPitchWindowNs / 2, kPitchWindowNs},
                                     {{lld::kZeroCrossingColumn}, kPitchWindowNs / 2, kPitchWindowNs},
                                     {{}, kShortWindowNs / 2, kShortWindowNs}};
  for (int column = 0; column < kLldSize; ++column) {
    if (column == lld::kZeroCrossingColumn) continue;
    groups[column < lld::kAuditoryColumn ? 0 : 2].columns.push_back(column);
  }
  return groups;
}

// How long after its start all columns of a row are final.
int64_t RowLatencyNs(int max_pitch_lag) {
  const int hops = max_pitch_lag < lld::kLongestPitchLag ? max_pitch_lag : lld::kLongestPitchLag + 1;
  return kHopNs + kPitchWindowNs + hops * kHopNs;
}

}  // namespace

int64_t AudioNeedNs(const PreprocessRules& rules) {
  const int64_t after_center = RowLatencyNs(rules.lld_max_pitch_lag) - kShortWindowNs / 2;
  return -rules.audio_lag_ns + kHopNs / 2 + after_center + kResamplerDelayNs;
}

AudioFront::AudioFront(const PreprocessRules& rules, InputTap* tap, InputCounts* counts)
    : tap_(tap),
      counts_(counts),
      stream_(rules.lld_max_pitch_lag),
      row_latency_ns_(RowLatencyNs(rules.lld_max_pitch_lag)),
      rows_(Groups(), kLldSize),
      popped_(kPoppedRows * kLldSize) {}

std::optional<int64_t> AudioFront::Push(int64_t pts_ns, const AudioData& samples, int rate_hz) {
  const int64_t count = static_cast<int64_t>(samples.count);
  if (samples.real != nullptr) {
    for (int64_t i = 0; i < count; ++i) counts_->samples_not_finite += !std::isfinite(samples.real[i]);
  }
  const Placement place = clock_.Place(pts_ns, count, rate_hz);
  if (place.restart) Restart(rate_hz);
  counts_->samples_overlapping += place.skip;
  counts_->samples_filled += place.fill;
  if (place.fill > 0) samples.real != nullptr ? FeedZeros<float>(place.fill) : FeedZeros<int16_t>(place.fill);
  const int64_t kept = count - place.skip;
  if (kept == 0) return std::nullopt;
  if (samples.real != nullptr) {
    FeedReal(samples.real + place.skip, static_cast<size_t>(kept));
  } else {
    Feed(samples.whole + place.skip, static_cast<size_t>(kept));
  }
  Collect();
  const int64_t end = clock_.EndPtsNs();
  NoteSpan(end - Scale(kept, kNanoseconds, rate_hz), end);
  return pts_ns + Scale(place.skip, kNanoseconds, rate_hz);
}

std::optional<int64_t> AudioFront::PushRows(int64_t pts_ns, const AudioData& rows) {
  const int64_t count = static_cast<int64_t>(rows.count);
  const int64_t known = last_row_ns_ ? std::max<int64_t>(0, FloorDiv(*last_row_ns_ - pts_ns, kHopNs) + 1) : 0;
  counts_->rows_not_newer += std::min(known, count);
  if (known >= count) return std::nullopt;
  for (int64_t index = known; index < count; ++index) {
    last_row_ns_ = pts_ns + index * kHopNs;
    rows_.Push(*last_row_ns_, rows.rows + index * kLldSize, 0);
  }
  rows_end_ns_ = *last_row_ns_ + row_latency_ns_;
  NoteSpan(pts_ns + known * kHopNs, *rows_end_ns_);
  return pts_ns + known * kHopNs;
}

void AudioFront::Finish() {
  if (!streaming_) return;
  if (resampler_) {
    resampled_.resize(std::max(resampled_.size(), resampler_->OutputsOfFinish()));
    stream_.Push(resampled_.data(), resampler_->Finish(resampled_.data()));
  }
  stream_.Finish(false);
  Collect();
  streaming_ = false;
}

std::optional<int64_t> AudioFront::NewestBefore(int64_t instant_ns) const {
  for (int64_t back = 1; back <= std::min<int64_t>(span_count_, kMostSpans); ++back) {
    const Span& span = spans_[(span_count_ - back) % kMostSpans];
    if (span.start_ns < instant_ns) return std::min(span.end_ns, instant_ns);
  }
  return std::nullopt;
}

void AudioFront::Restart(int rate_hz) {
  counts_->audio_restarts += streaming_;
  streaming_ = true;
  stream_.Reset();
  row_ = 0;
  if (rate_hz == resampler_rate_hz_) {
    if (resampler_) resampler_->Reset();
    return;
  }
  resampler_rate_hz_ = rate_hz;
  resampler_.reset();
  if (rate_hz != lld::kSampleRateHz) resampler_ = std::make_unique<Resampler>(rate_hz, lld::kSampleRateHz);
}

template <typename Sample>
void AudioFront::Feed(const Sample* samples, size_t count) {
  if (!resampler_) {
    stream_.Push(samples, count);
    return;
  }
  while (count > 0) {
    const size_t part = std::min(count, kBlock);
    resampled_.resize(std::max(resampled_.size(), resampler_->OutputsOfPush(part)));
    stream_.Push(resampled_.data(), resampler_->Push(samples, part, resampled_.data()));
    samples += part;
    count -= part;
  }
}

template <typename Sample>
void AudioFront::FeedZeros(int64_t count) {
  const Sample zeros[kBlock] = {};
  for (; count > 0; count -= static_cast<int64_t>(kBlock)) Feed(zeros, std::min(static_cast<size_t>(count), kBlock));
  Collect();
}

// Samples that are no number count as 0.
void AudioFront::FeedReal(const float* samples, size_t count) {
  float cleaned[kBlock];
  while (count > 0) {
    const size_t part = std::min(count, kBlock);
    for (size_t i = 0; i < part; ++i) cleaned[i] = std::isfinite(samples[i]) ? samples[i] : 0.0f;
    Feed(cleaned, part);
    samples += part;
    count -= part;
  }
}

void AudioFront::Collect() {
  if (tap_ != nullptr) {
    std::vector<float> rows;
    const auto pop = [&] {
      rows.resize(static_cast<size_t>(stream_.rows_ready()) * kLldSize);
      stream_.Pop(stream_.rows_ready(), rows.data());
    };
    tap_->Rows(pop, &rows);
    for (size_t at = 0; at + kLldSize <= rows.size(); at += kLldSize) PushFinalRow(&rows[at]);
    return;
  }
  while (stream_.rows_ready() > 0) {
    const int64_t count = std::min(stream_.rows_ready(), kPoppedRows);
    stream_.Pop(count, popped_.data());
    for (int64_t i = 0; i < count; ++i) PushFinalRow(&popped_[static_cast<size_t>(i) * kLldSize]);
  }
}

void AudioFront::PushFinalRow(const float* lld) {
  const int64_t start = row_++ * kHopNs;
  uint32_t masked = 0;
  for (size_t group = 0; group < rows_.groups().size(); ++group) {
    const bool touches = clock_.TouchesHole(start - kHopNs, start + rows_.groups()[group].window_ns + kHopNs);
    masked |= static_cast<uint32_t>(touches) << group;
  }
  rows_.Push(clock_.PtsNs(start), lld, masked);
}

void AudioFront::NoteSpan(int64_t start_ns, int64_t end_ns) {
  if (span_count_ > 0) {
    Span& last = spans_[(span_count_ - 1) % kMostSpans];
    if (start_ns - last.end_ns <= kMillisecond) {
      last.end_ns = end_ns;
      return;
    }
  }
  spans_[span_count_++ % kMostSpans] = {start_ns, end_ns};
}

AudioSteps::AudioSteps(const PreprocessRules& rules, const PreprocessParts& parts)
    : own_normalizer_(rules.normalizer),
      own_speech_(rules.speech, 1.0 / rules.model_rate_hz),
      normalizer_(parts.normalizer != nullptr ? parts.normalizer : &own_normalizer_),
      speech_(parts.speech != nullptr ? parts.speech : &own_speech_),
      stacked_(static_cast<size_t>(rules.audio_context_steps) * kLldSize),
      vector_(static_cast<size_t>(rules.audio_vector_size)) {
  normalizer_->Reset();
  speech_->Reset();
}

const float* AudioSteps::Push(const RowStep* step, const float* lld) {
  float* const newest = vector_.data() + stacked_ - kLldSize;
  std::memmove(vector_.data(), vector_.data() + kLldSize, (stacked_ - kLldSize) * sizeof(float));
  if (step != nullptr && step->row != row_) {
    row_ = step->row;
    speaks_ = speech_->Push(lld);
    if (speaks_) normalizer_->UpdateAndNormalize(lld, last_);
  }
  if (step == nullptr || !speaks_) {
    std::fill_n(newest, kLldSize, 0.0f);
    return nullptr;
  }
  std::copy_n(last_, kLldSize, newest);
  return vector_.data();
}

}  // namespace edgeaff
