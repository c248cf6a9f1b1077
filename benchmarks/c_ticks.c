/* Measures libedgeaff alone, for benchmarks/libedgeaff.py: one session, one image and looped samples, many ticks.
 *
 *   c_ticks BUNDLE IMAGE.rgb WIDTH HEIGHT SAMPLES.s16 BLOCKS TICKS_OF_BLOCK
 *
 * Prints one JSON object: microseconds of CPU per tick of each block, milliseconds from open to ready, calls of the allocator after the
 * first second, RSS before and after. */
#define _POSIX_C_SOURCE 200809L
#include <edgeaff.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FRAMES_PER_SECOND = 30, RATE_HZ = 16000, WARM_TICKS = 30 };

static long calls;

static void* allocate(void* user, size_t bytes, size_t alignment) {
  void* memory = NULL;
  (void)user, ++calls;
  if (alignment < sizeof(void*)) alignment = sizeof(void*);
  return posix_memalign(&memory, alignment, bytes) == 0 ? memory : NULL;
}

static void release(void* user, void* memory, size_t bytes) {
  (void)user, (void)bytes;
  free(memory);
}

static double now_us(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return 1e6 * (double)time.tv_sec + 1e-3 * (double)time.tv_nsec;
}

static double rss_mib(void) {
  long size = 0, pages = 0;
  FILE* const file = fopen("/proc/self/statm", "r");
  if (!file || fscanf(file, "%ld %ld", &size, &pages) != 2) exit(1);
  fclose(file);
  return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1048576.0;
}

static void* read_all(const char* path, size_t* bytes) {
  FILE* const file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) exit(1);
  *bytes = (size_t)ftell(file);
  rewind(file);
  void* const data = malloc(*bytes);
  if (!data || fread(data, 1, *bytes, file) != *bytes) exit(1);
  fclose(file);
  return data;
}

/* Pushes the samples and the frame of one tick; returns how many events came. */
static int push(edgeaff_session* session, const edgeaff_image* image, const int16_t* samples, size_t count, long tick) {
  const long first = tick * RATE_HZ / FRAMES_PER_SECOND, end = (tick + 1) * RATE_HZ / FRAMES_PER_SECOND;
  const int64_t pts_ns = (int64_t)tick * 1000000000 / FRAMES_PER_SECOND;
  const size_t at = (size_t)first % (count - 1000);
  int events = 0;
  edgeaff_event event;
  EDGEAFF_INIT(event);
  if (edgeaff_push_audio_i16(session, samples + at, (size_t)(end - first), RATE_HZ, pts_ns) < 0 ||
      edgeaff_push_frame(session, image, pts_ns) < 0) {
    fprintf(stderr, "%s\n", edgeaff_message(session));
    exit(1);
  }
  while (edgeaff_poll(session, &event) == 1) events += event.has_face;
  return events;
}

int main(int argc, char** argv) {
  if (argc != 8) return fprintf(stderr, "usage: see the head of c_ticks.c\n"), 2;
  size_t image_bytes, sample_bytes;
  edgeaff_image image;
  edgeaff_allocator allocator;
  edgeaff_error error;
  edgeaff_options options;
  edgeaff_model* model;
  edgeaff_session* session;
  memset(&image, 0, sizeof image);
  EDGEAFF_INIT(image), EDGEAFF_INIT(allocator), EDGEAFF_INIT(error), EDGEAFF_INIT(options);
  allocator.user = NULL, allocator.allocate = allocate, allocator.release = release;
  image.planes[0] = read_all(argv[2], &image_bytes);
  image.width = atoi(argv[3]), image.height = atoi(argv[4]);
  const int16_t* const samples = read_all(argv[5], &sample_bytes);
  const double rss_before = rss_mib(), started = now_us(CLOCK_MONOTONIC),
               started_cpu = now_us(CLOCK_PROCESS_CPUTIME_ID);
  edgeaff_options_default(&options);
  options.most_width = image.width, options.most_height = image.height, options.most_rate_hz = RATE_HZ;
  if (edgeaff_model_open(argv[1], &allocator, &model, &error) < 0 ||
      edgeaff_session_create(model, &options, &session, &error) < 0)
    return fprintf(stderr, "%s\n", error.message), 1;
  const double open_ms = 1e-3 * (now_us(CLOCK_MONOTONIC) - started);
  const double open_cpu_ms = 1e-3 * (now_us(CLOCK_PROCESS_CPUTIME_ID) - started_cpu);
  long tick = 0;
  int faces = 0;
  for (; tick < WARM_TICKS; ++tick) faces += push(session, &image, samples, sample_bytes / 2, tick);
  const long calls_warm = calls;
  printf("{\"open_ms\": %.3f, \"open_cpu_ms\": %.3f, \"tick_cpu_us\": [", open_ms, open_cpu_ms);
  for (int block = 0; block < atoi(argv[6]); ++block) {
    const double before = now_us(CLOCK_PROCESS_CPUTIME_ID);
    for (int n = 0; n < atoi(argv[7]); ++n, ++tick) faces += push(session, &image, samples, sample_bytes / 2, tick);
    printf("%s%.2f", block ? ", " : "", (now_us(CLOCK_PROCESS_CPUTIME_ID) - before) / atoi(argv[7]));
  }
  printf(
      "], \"ticks\": %ld, \"faces\": %d, \"allocations_after_warm_up\": %ld, \"rss_before_mib\": %.2f, \"rss_mib\": "
      "%.2f}\n",
      tick, faces, calls - calls_warm, rss_before, rss_mib());
  edgeaff_session_destroy(session);
  edgeaff_model_release(model);
  return 0;
}
