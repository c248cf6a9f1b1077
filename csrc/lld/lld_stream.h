// The stream shell: samples in, rows of the 65 ComParE 2016 low-level descriptors out.
//
//   samples -> history -+- 20 ms -> Hamming -> FFT 512 -+- mel -> auditory spectrum, RASTA, MFCC -+
//                       |                               +- spectral shape ------------------------+-> smooth -+
//                       |- 20 ms -> RMS --------------------------------------------------------- +           |
//                       |- 60 ms -> zero crossings -----------------------------------------------+-> smooth -+-> rows
//                       +- 60 ms -> Gaussian -> FFT 1024 -> octave spectrum -> candidates -> Viterbi -+       |
//                       |                                                                        gate, F0     |
//                       +- waveform ---------------------------------------------- jitter, shimmer, HNR -> smooth
#pragma once
#include <cstddef>
#include <cstdint>

#include "lld/history.h"
#include "lld/mel.h"
#include "lld/pitch_tracker.h"
#include "lld/row_queue.h"
#include "lld/smoothing.h"
#include "lld/vector_ops.h"
#include "lld/voice_quality.h"

namespace edgeaff {

// 16 kHz mono. Row t describes the audio from sample 160 t on. Any chunking of the input gives the same bits. Memory:
// below 64 KiB, more only for rows that nobody pops; a push allocates nothing else. Not thread-safe; streams are
// independent.
class LldStream {
 public:
  // Rows that are final, per column group; all groups advance on their own.
  struct Watermarks {
    int64_t spectral;  // 20 ms window: columns 6-8, 10-64
    int64_t zcr;       // column 9
    int64_t pitch;     // columns 0-5
  };

  // max_pitch_lag in 0..29, see pitch_tracker.h.
  explicit LldStream(int max_pitch_lag);

  // Takes n finite samples: int16 s as s / 32767, float with full scale 1 as the int16 value 32768 x, saturated.
  // Returns the number of rows became final in all columns. Not allowed after Finish without Reset.
  int64_t Push(const int16_t* samples, size_t n);
  int64_t Push(const float* samples, size_t n);

  // Ends the audio: one row per complete 60 ms frame, and one more (none below 60 ms). `compatible` also imitates what
  // the peer does to columns 2-5 in the two rows where its pitch tracker was when the audio ended. Returns rows newly
  // final.
  int64_t Finish(bool compatible);

  // Back to the state after construction (memory is kept).
  void Reset();

  int64_t rows_ready() const;       // final in all columns and not yet popped
  void Pop(int64_t n, float* out);  // the oldest n <= rows_ready() rows: (n, 65)
  Watermarks watermarks() const { return marks_; }
  int64_t state_bytes() const;

 private:
  template <typename Sample>
  int64_t PushAny(const Sample* samples, size_t n);
  void Advance();
  void ShortFrame();
  void LongFrame();
  void PitchFrames(const lld::Pitch* decided, int count);
  int64_t FinalRows() const;

  const VectorOps& ops_;
  lld::SampleHistory history_;
  lld::RowQueue rows_;
  Watermarks marks_;
  int64_t short_frames_, long_frames_, pitch_frames_;  // done so far
  bool finished_;

  lld::RastaFilter rasta_;
  float magnitudes_[2][lld::kShortBins];  // of this frame and of the one before (for the flux)
  lld::PitchTracker tracker_;
  bool silent_[32];  // energy gate of frames the tracker has not decided, by frame number modulo 32
  lld::VoiceQuality quality_;

  static constexpr int kSpectralWidth = 58;
  lld::Smoother<kSpectralWidth, false> smooth_spectral_;
  lld::Smoother<1, false> smooth_zcr_;
  lld::Smoother<6, true> smooth_pitch_;
};

}  // namespace edgeaff
