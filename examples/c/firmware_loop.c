/* A firmware loop: memory from one static arena, frames and audio from two drivers, work left out when a tick takes too long.
 * The drivers are made up here; put yours into `next_frame` and `next_audio`.
 *
 *   cc -o firmware_loop firmware_loop.c $(pkg-config --cflags --libs edgeaff)
 *   ./firmware_loop edge.eaff
 */
#include <edgeaff.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 320, HEIGHT = 240, RATE_HZ = 16000, TICKS = 90, SECOND = 1000000000 };

/* Memory that is never given back one by one: sessions ask at the start alone. */
static struct {
  size_t used;
  _Alignas(64) unsigned char memory[12 << 20];
} arena;

/* The bundle: here read from a file, on a board linked in or mapped from flash. */
static unsigned char flash[8 << 20];

static size_t load(const char* path) {
  FILE* const file = fopen(path, "rb");
  const size_t count = file ? fread(flash, 1, sizeof flash, file) : 0;
  if (file) fclose(file);
  return count;
}

static void* allocate(void* user, size_t bytes, size_t alignment) {
  const size_t start = (arena.used + alignment - 1) & ~(alignment - 1);
  (void)user;
  if (bytes > sizeof arena.memory - start) return NULL;
  arena.used = start + bytes;
  return arena.memory + start;
}

static void release(void* user, void* memory, size_t bytes) { (void)user, (void)memory, (void)bytes; }

static void warn(void* user, int32_t level, const char* message) {
  (void)user;
  fprintf(stderr, "[%d] %s\n", (int)level, message);
}

/* The camera: an NV12 image, valid until the next call. */
static void next_frame(edgeaff_image* image, int64_t* pts_ns, long long number) {
  static uint8_t nv12[WIDTH * HEIGHT * 3 / 2];
  memset(nv12, (int)(16 + number % 200), WIDTH * HEIGHT);
  memset(nv12 + WIDTH * HEIGHT, 128, WIDTH * HEIGHT / 2);
  memset(image, 0, sizeof *image);
  EDGEAFF_INIT(*image);
  image->pixels = EDGEAFF_PIXELS_NV12, image->width = WIDTH, image->height = HEIGHT;
  image->planes[0] = nv12, image->planes[1] = nv12 + WIDTH * HEIGHT;
  *pts_ns = number * SECOND / 30;
}

/* The microphone: the samples of a thirtieth of a second. */
static size_t next_audio(const int16_t** samples, int64_t* pts_ns, long long number) {
  static int16_t buffer[RATE_HZ / 30 + 1];
  const long long first = number * RATE_HZ / 30, end = (number + 1) * RATE_HZ / 30;
  for (long long i = first; i < end; ++i) buffer[i - first] = (int16_t)(i * 7919 % 2000 - 1000);
  *samples = buffer, *pts_ns = first * SECOND / RATE_HZ;
  return (size_t)(end - first);
}

int main(int argc, char** argv) {
  edgeaff_allocator allocator = {sizeof allocator, NULL, allocate, release};
  edgeaff_options options;
  edgeaff_error error;
  edgeaff_event event;
  edgeaff_model* model;
  edgeaff_session* session;
  size_t settled = 0;
  EDGEAFF_INIT(options), EDGEAFF_INIT(error), EDGEAFF_INIT(event);
  edgeaff_options_default(&options);
  options.most_width = WIDTH, options.most_height = HEIGHT, options.most_rate_hz = RATE_HZ, options.log = warn;
  if (argc != 2 || edgeaff_model_open_bytes(flash, load(argv[1]), &allocator, &model, &error) < 0 ||
      edgeaff_session_create(model, &options, &session, &error) < 0)
    return fprintf(stderr, "usage: firmware_loop BUNDLE; %s\n", argc == 2 ? error.message : ""), 1;

  for (long long number = 0; number < TICKS; ++number) {
    edgeaff_image image;
    const int16_t* samples;
    int64_t pts_ns;
    next_frame(&image, &pts_ns, number);
    int32_t code = edgeaff_push_frame(session, &image, pts_ns);
    const size_t count = next_audio(&samples, &pts_ns, number);
    if (code >= 0) code = edgeaff_push_audio_i16(session, samples, count, RATE_HZ, pts_ns);
    if (code < 0) return fprintf(stderr, "%s\n", edgeaff_message(session)), 1;
    while (edgeaff_poll(session, &event) == 1) {
      if (event.seq % 30 == 0)
        printf("%.1f s  status %d  arousal %+.3f\n", (double)event.pts_ns / SECOND, event.status, event.arousal);
    }
    if (number == TICKS / 2) settled = arena.used;
  }
  printf("memory: %zu bytes, %zu of them in the second half\n", arena.used, arena.used - settled);
  edgeaff_session_destroy(session);
  edgeaff_model_release(model);
  return arena.used == settled ? 0 : 1;
}
