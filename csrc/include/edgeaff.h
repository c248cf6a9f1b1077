/* edgeaff.h: the C interface of libedgeaff. C99 and C++; no dependency; nothing is thrown across it, printed, or kept globally.
 *
 *   edgeaff_model    a loaded bundle. Immutable, counted, shared by any number of threads and sessions.
 *   edgeaff_session  one stream of frames and audio. One thread at a time; sessions are independent.
 *
 * Returns   int32_t: 0 or a count on success, an EDGEAFF_E_* (below zero) on failure; a wrong argument changes nothing.
 * Ownership an object from _open or _create is given back with _release or _destroy. Pointers passed in are read during the call
 *           only. Pointers handed out belong to the object and live until its next call or its end.
 * Growth    every struct begins with `size`, set by EDGEAFF_INIT; fields are only ever added at the end, and a field that an older
 *           caller lacks keeps its default. Functions are never changed or removed within an ABI number.
 * Real time push_* and poll compute in the caller's thread. They take no lock and do no I/O. After the first image and the first
 *           audio of a size and rate they ask the allocator for nothing.
 */
#ifndef EDGEAFF_H
#define EDGEAFF_H

#include <stddef.h>
#include <stdint.h>

#define EDGEAFF_ABI 1 /* soname libedgeaff.so.1 */

#if defined(__GNUC__)
#define EDGEAFF_API __attribute__((visibility("default")))
#define EDGEAFF_CHECKED __attribute__((warn_unused_result))
#else
#define EDGEAFF_API
#define EDGEAFF_CHECKED
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct edgeaff_model edgeaff_model;
typedef struct edgeaff_session edgeaff_session;

enum {
  EDGEAFF_OK = 0,
  EDGEAFF_E_ARGUMENT = -1,    /* an argument is not what it must be; the message names it */
  EDGEAFF_E_STATE = -2,       /* not allowed now: after edgeaff_finish only edgeaff_reset and edgeaff_poll are */
  EDGEAFF_E_BUNDLE = -3,      /* the bundle is damaged, or not what it states */
  EDGEAFF_E_IO = -4,          /* the file cannot be read */
  EDGEAFF_E_MEMORY = -5,      /* the allocator returned NULL */
  EDGEAFF_E_UNSUPPORTED = -6, /* the bundle needs what this build does not have */
  EDGEAFF_E_INTERNAL = -7     /* a defect of the library, caught at the boundary */
};

/* Why an event has, or lacks, its numbers. */
enum {
  EDGEAFF_STATUS_OK = 0,
  EDGEAFF_STATUS_WARMUP,   /* less than half a second of evidence */
  EDGEAFF_STATUS_NO_FACE,  /* video is declared, and there is no face */
  EDGEAFF_STATUS_NO_AUDIO, /* audio is declared, and there is none */
  EDGEAFF_STATUS_STALE,    /* nothing was delivered for staleness_seconds */
  EDGEAFF_STATUS_ABSTAIN,  /* the expected error is too large, or the numbers are out of range */
  EDGEAFF_STATUS_NO_SPEECH /* audio alone is declared, and nobody speaks */
};

enum { EDGEAFF_LOG_ERROR = 0, EDGEAFF_LOG_WARNING, EDGEAFF_LOG_INFO };

enum { EDGEAFF_PIXELS_RGB = 0, EDGEAFF_PIXELS_BGR, EDGEAFF_PIXELS_GRAY, EDGEAFF_PIXELS_NV12 };

#define EDGEAFF_INIT(s) ((s).size = (uint32_t)sizeof(s))

/* A reason for people, always ended by 0. Optional where it is an argument: NULL. */
typedef struct edgeaff_error {
  uint32_t size;
  int32_t code;
  char message[248];
} edgeaff_error;

/* Where memory comes from; both functions or none. alignment: a power of two up to 64. Any thread that uses the object calls it. */
typedef struct edgeaff_allocator {
  uint32_t size;
  void* user;
  void* (*allocate)(void* user, size_t bytes, size_t alignment);
  void (*release)(void* user, void* memory, size_t bytes);
} edgeaff_allocator;

/* An image that stays the caller's. Strides in bytes, of any sign; 0: packed. NV12: width and height even, BT.601 limited range,
   planes[1] is the interleaved UV plane with row_stride[1], or NULL where it follows the luma. */
typedef struct edgeaff_image {
  uint32_t size;
  int32_t pixels, width, height;
  const uint8_t* planes[2];
  ptrdiff_t row_stride[2], pixel_stride, channel_stride;
} edgeaff_image;

/* A face that is known already. box: x0, y0, x1, y1 in pixels; score in [0, 1]; crop: 96 x 96 x 3 RGB, packed. */
typedef struct edgeaff_face {
  uint32_t size;
  int32_t reserved;
  int64_t track_id;
  double box[4], score;
  const uint8_t* crop;
} edgeaff_face;

typedef struct edgeaff_options {
  uint32_t size;
  int32_t video, audio;    /* whether declared, 1; a modality that is not declared is never waited for */
  int32_t max_faces;       /* most faces with their own events per tick; 1 */
  int32_t detector_stride; /* run the detector on every n-th frame; 0: as the bundle states */
  int32_t threads;         /* 1: nothing else is started */
  double smoothing_valence_seconds, smoothing_arousal_seconds; /* time constants; below 0: as the bundle states */
  double staleness_seconds, max_skew_seconds;                  /* 0.5, 0.25 */
  int32_t event_room; /* events that wait for edgeaff_poll; 64. Above it the oldest is dropped and counted */
  int32_t most_width, most_height, most_rate_hz; /* largest image and highest rate; 1920, 1080, 96000 */
  int32_t live; /* 1: a jump of the clock by more than 10 s needs a second input; 0 for files */
  void (*log)(void* user, int32_t level, const char* message); /* called during push; NULL */
  void* log_user;
} edgeaff_options;

/* One tick of the model clock. A number that may not be given out is NaN. */
typedef struct edgeaff_event {
  uint32_t size;
  int32_t status, has_face, precision_bits; /* of the model's weights: 32, 16 or 8 */
  uint64_t seq;
  int64_t pts_ns;
  double valence, arousal, valence_raw, arousal_raw, valence_std, arousal_std;
  double video_age_ms, audio_age_ms, video_coverage, audio_coverage;
  int64_t track_id; /* -1 without a face */
  double box[4], score;
  double speaking;                           /* probability that this face speaks */
  double valence_relative, arousal_relative; /* against what is usual for this subject */
} edgeaff_event;

/* What became of the input, by cause. An input is one frame or chunk. */
typedef struct edgeaff_counts {
  uint32_t size, reserved;
  uint64_t frames_used, frames_unused, chunks_used, chunks_unused;
  uint64_t frames_not_newer, frames_late, samples_overlapping, samples_filled, samples_not_finite, samples_late,
      rows_not_newer;
  uint64_t audio_restarts, jumps, steps_back, inputs_unconfirmed, inputs_before_jump, values_rejected, events_lost;
} edgeaff_counts;

/* --- the library */

/* The version of the library, for example "1.0.0". */
EDGEAFF_API const char* edgeaff_version(void);

/* The ABI number of the library; a caller compares it with EDGEAFF_ABI. */
EDGEAFF_API int32_t edgeaff_abi(void);

/* Compiler, and the instruction set in use. */
EDGEAFF_API const char* edgeaff_build(void);

/* A short text for an EDGEAFF_E_* code; "unknown" for any other number. */
EDGEAFF_API const char* edgeaff_code_text(int32_t code);

/* --- a model */

/* Opens a bundle file, hashing every member that it loads. allocator: NULL for malloc. */
EDGEAFF_API EDGEAFF_CHECKED int32_t edgeaff_model_open(const char* path, const edgeaff_allocator* allocator,
                                                       edgeaff_model** model, edgeaff_error* error);

/* Opens a bundle in memory, for example in flash. The bytes are read during the call only. */
EDGEAFF_API EDGEAFF_CHECKED int32_t edgeaff_model_open_bytes(const void* bytes, size_t count,
                                                             const edgeaff_allocator* allocator, edgeaff_model** model,
                                                             edgeaff_error* error);

/* The manifest, JSON text of `length` bytes. */
EDGEAFF_API const char* edgeaff_model_manifest(const edgeaff_model* model, size_t* length);

/* Adds a user of the model, from any thread. */
EDGEAFF_API void edgeaff_model_retain(edgeaff_model* model);

/* Removes a user of the model, from any thread; the last one frees it. NULL is fine; sessions hold their model. */
EDGEAFF_API void edgeaff_model_release(edgeaff_model* model);

/* --- a session */

/* Fills as many fields as the caller has, after EDGEAFF_INIT; a size of 0 counts as this header's. */
EDGEAFF_API void edgeaff_options_default(edgeaff_options* options);

/* Writes a bound on the memory of a session with these options, for images and audio within their limits, chunks of at most a
   second and at most four faces. */
EDGEAFF_API EDGEAFF_CHECKED int32_t edgeaff_session_memory(edgeaff_model* model, const edgeaff_options* options,
                                                           size_t* bytes);

/* Makes a session with the model's allocator. options: NULL for the defaults. */
EDGEAFF_API EDGEAFF_CHECKED int32_t edgeaff_session_create(edgeaff_model* model, const edgeaff_options* options,
                                                           edgeaff_session** session, edgeaff_error* error);

/* Frees a session. NULL is fine. */
EDGEAFF_API void edgeaff_session_destroy(edgeaff_session* session);

/* --- what goes in. Each returns how many events wait, or an error. pts_ns: nanoseconds on one clock for all calls. */

/* Takes a frame. */
EDGEAFF_API EDGEAFF_CHECKED int32_t edgeaff_push_frame(edgeaff_session* session, const edgeaff_image* image,
                                                       int64_t pts_ns);

/* Takes mono samples, the first one at pts_ns. */
EDGEAFF_API EDGEAFF_CHECKED int32_t edgeaff_push_audio_i16(edgeaff_session* session, const int16_t* samples,
                                                           size_t count, int32_t rate_hz, int64_t pts_ns);

/* The same for samples in [-1, 1]; what is no number counts as 0. */
EDGEAFF_API EDGEAFF_CHECKED int32_t edgeaff_push_audio_f32(edgeaff_session* session, const float* samples, size_t count,
                                                           int32_t rate_hz, int64_t pts_ns);

/* Takes a frame whose faces are known, the primary one first; count 0: a frame without a face. */
EDGEAFF_API EDGEAFF_CHECKED int32_t edgeaff_push_faces(edgeaff_session* session, const edgeaff_face* faces,
                                                       int32_t count, int64_t pts_ns);

/* Takes final rows of 65 descriptors, 10 ms apart, the first one starting at pts_ns. */
EDGEAFF_API EDGEAFF_CHECKED int32_t edgeaff_push_rows(edgeaff_session* session, const float* rows, int32_t count,
                                                      int64_t pts_ns);

/* Notes that time has come to pts_ns without a delivery. */
EDGEAFF_API EDGEAFF_CHECKED int32_t edgeaff_advance(edgeaff_session* session, int64_t pts_ns);

/* Ends the data: the ticks held back go out. */
EDGEAFF_API EDGEAFF_CHECKED int32_t edgeaff_finish(edgeaff_session* session);

/* Forgets the past: seq counts from 0 again, events that wait are dropped. */
EDGEAFF_API int32_t edgeaff_reset(edgeaff_session* session);

/* Leaves out work from the next frame on. step: 0 nothing; 1 the detector runs every 0.3 s; 2 and faces are encoded on every second
   frame. */
EDGEAFF_API int32_t edgeaff_degrade(edgeaff_session* session, int32_t step);

/* --- what comes out */

/* Takes the oldest event: 1 and it is filled, 0 none waits. */
EDGEAFF_API EDGEAFF_CHECKED int32_t edgeaff_poll(edgeaff_session* session, edgeaff_event* event);

/* Fills the counts. */
EDGEAFF_API int32_t edgeaff_counts_of(const edgeaff_session* session, edgeaff_counts* counts);

/* The reason of the last error of this session. */
EDGEAFF_API const char* edgeaff_message(const edgeaff_session* session);

#ifdef __cplusplus
}
#endif
#endif
