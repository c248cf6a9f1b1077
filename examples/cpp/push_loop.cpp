// A push loop in C++17 on edgeaff.hpp: objects free themselves, failures are exceptions.
//
//   c++ -std=c++17 -o push_loop push_loop.cpp $(pkg-config --cflags --libs edgeaff)
//   ./push_loop edge.eaff
#include <cstdint>
#include <cstdio>
#include <edgeaff.hpp>
#include <vector>

int main(int argc, char** argv) try {
  constexpr int64_t kSecond = 1'000'000'000;
  constexpr int kWidth = 320, kHeight = 240, kRateHz = 16000, kTicks = 60;
  if (argc != 2) return std::fprintf(stderr, "usage: push_loop BUNDLE\n"), 2;
  const edgeaff::Model model(argv[1]);
  edgeaff::Session session(model);
  const std::vector<uint8_t> gray(kWidth * kHeight * 3, 128);
  const std::vector<float> silence(kRateHz / 30);
  int events = 0;
  for (int64_t tick = 0; tick < kTicks; ++tick) {
    session.PushFrame(edgeaff::Rgb(gray.data(), kWidth, kHeight), tick * kSecond / 30);
    session.PushAudio(silence.data(), silence.size(), kRateHz, tick * kSecond / 30);
    while (const auto event = session.Poll()) ++events;
  }
  session.Finish();
  while (const auto event = session.Poll()) ++events;
  std::printf("%d events\n", events);
  return events == kTicks ? 0 : 1;
} catch (const edgeaff::Error& error) {
  return std::fprintf(stderr, "%s: %s\n", edgeaff_code_text(error.code()), error.what()), 1;
}
