/* A file loop: raw RGB frames and raw 16-bit samples in, one line per tick out. Both come from ffmpeg:
 *
 *   ffmpeg -i clip.mp4 -f rawvideo -pix_fmt rgb24 -vf fps=30 frames.rgb -f s16le -ac 1 -ar 16000 samples.s16
 *   cc -o file_loop file_loop.c $(pkg-config --cflags --libs edgeaff)
 *   ./file_loop edge.eaff frames.rgb 640 480 samples.s16
 */
#include <edgeaff.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES_PER_SECOND = 30, RATE_HZ = 16000, SECOND = 1000000000 };

static int print_events(edgeaff_session* session, int32_t code) {
  edgeaff_event event;
  EDGEAFF_INIT(event);
  if (code < 0) fprintf(stderr, "%s: %s\n", edgeaff_code_text(code), edgeaff_message(session));
  while (code >= 0 && edgeaff_poll(session, &event) == 1)
    printf("%.3f s  status %d  valence %+.3f  arousal %+.3f\n", (double)event.pts_ns / SECOND, event.status,
           event.valence, event.arousal);
  return code >= 0;
}

int main(int argc, char** argv) {
  edgeaff_error error;
  edgeaff_model* model;
  edgeaff_session* session;
  edgeaff_image image;
  long long tick = 0;
  int good = 1;
  EDGEAFF_INIT(error);
  if (argc != 6) return fprintf(stderr, "usage: file_loop BUNDLE FRAMES.rgb WIDTH HEIGHT SAMPLES.s16\n"), 2;
  if (edgeaff_model_open(argv[1], NULL, &model, &error) < 0 ||
      edgeaff_session_create(model, NULL, &session, &error) < 0)
    return fprintf(stderr, "%s\n", error.message), 1;

  memset(&image, 0, sizeof image); /* strides of 0: packed */
  EDGEAFF_INIT(image);
  image.pixels = EDGEAFF_PIXELS_RGB, image.width = atoi(argv[3]), image.height = atoi(argv[4]);
  const size_t bytes = (size_t)image.width * (size_t)image.height * 3;
  uint8_t* const pixels = malloc(bytes);
  int16_t samples[RATE_HZ / FRAMES_PER_SECOND + 1];
  FILE *frames = fopen(argv[2], "rb"), *audio = fopen(argv[5], "rb");
  if (!frames || !audio || !pixels) return fprintf(stderr, "the media cannot be read\n"), 1;
  image.planes[0] = pixels;

  for (; good && fread(pixels, 1, bytes, frames) == bytes; ++tick) {
    const long long first = tick * RATE_HZ / FRAMES_PER_SECOND, end = (tick + 1) * RATE_HZ / FRAMES_PER_SECOND;
    const size_t count = fread(samples, 2, (size_t)(end - first), audio);
    good = print_events(session, edgeaff_push_frame(session, &image, tick * SECOND / FRAMES_PER_SECOND));
    if (good && count > 0)
      good = print_events(session, edgeaff_push_audio_i16(session, samples, count, RATE_HZ, first * SECOND / RATE_HZ));
  }
  good = good && print_events(session, edgeaff_finish(session));
  fclose(frames), fclose(audio), free(pixels);
  edgeaff_session_destroy(session);
  edgeaff_model_release(model);
  return good ? 0 : 1;
}
