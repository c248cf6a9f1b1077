// The LLD stream: chunking, instruction sets, allocation, memory, hard recordings, threads.
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "edgeaff/cpu_features.h"
#include "lld/constants.h"
#include "lld/lld_stream.h"
#include "recordings.h"

// Every allocation of this program is counted.
static std::atomic<long> g_allocations{0};

void* operator new(std::size_t size) {
  ++g_allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void* operator new[](std::size_t size) { return operator new(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using edgeaff::LldStream;
constexpr int kColumns = edgeaff::lld::kColumns;
const char* const kSets[] = {"scalar", "avx2", "avx512", "neon", "best"};

template <typename Sample>
std::vector<float> Rows(const std::vector<Sample>& samples, int lag, size_t chunk, bool compatible = false) {
  LldStream stream(lag);
  std::vector<float> rows;
  const auto pop = [&] {
    const int64_t n = stream.rows_ready();
    const size_t old = rows.size();
    rows.resize(old + static_cast<size_t>(n) * kColumns);
    stream.Pop(n, rows.data() + old);
  };
  int64_t final_rows = 0;
  for (size_t start = 0; start < samples.size(); start += chunk) {
    const size_t size = std::min(chunk, samples.size() - start);
    // A copy of exactly this size, so that an address sanitizer sees a read beyond it.
    const std::vector<Sample> part(samples.begin() + start, samples.begin() + start + size);
    final_rows += stream.Push(part.data(), size);
    if (start % 3 == 0) pop();
  }
  final_rows += stream.Finish(compatible);
  pop();
  CHECK(final_rows * kColumns == static_cast<int64_t>(rows.size()));
  return rows;
}

bool Finite(const std::vector<float>& rows) {
  for (float value : rows) {
    if (!std::isfinite(value)) return false;
  }
  return true;
}

void TestChunking() {
  const auto samples = recordings::Voice(0.7);
  for (int lag : {0, 4, 29}) {
    const auto whole = Rows(samples, lag, samples.size());
    CHECK(whole.size() == ((samples.size() - 960) / 160 + 2) * kColumns);
    for (size_t chunk : {1, 7, 160, 533}) CHECK(Rows(samples, lag, chunk) == whole);
  }
}

void TestInstructionSetsAgree() {
  const auto samples = recordings::Voice(1.5);
  CHECK(edgeaff::SetInstructionSetLimit("scalar"));
  const auto expected = Rows(samples, 4, 1000);
  std::vector<float> scale(kColumns, 1e-20f);
  for (size_t i = 0; i < expected.size(); ++i) {
    scale[i % kColumns] = std::max(scale[i % kColumns], std::abs(expected[i]));
  }
  for (const char* name : kSets) {
    CHECK(edgeaff::SetInstructionSetLimit(name));
    const auto rows = Rows(samples, 4, 1000);
    CHECK(rows.size() == expected.size());
    size_t off = 0;  // measured: 1e-17 between scalar, AVX2 and AVX-512
    for (size_t i = 0; i < rows.size(); ++i) off += std::abs(rows[i] - expected[i]) > 1e-5f * scale[i % kColumns];
    CHECK(off == 0);
  }
}

void TestPitchOfATone() {
  std::vector<float> samples(16000);
  for (size_t i = 0; i < samples.size(); ++i) {
    samples[i] = 0.0f;
    const double phase = 2 * 3.14159265358979 * 220 * static_cast<double>(i) / 16000;
    for (int k = 1; k < 8; ++k) samples[i] += static_cast<float>(0.2 / k * std::sin(k * phase));
  }
  const auto rows = Rows(samples, 4, 16000);
  for (size_t row = 5; row < 80; ++row) CHECK(std::abs(rows[row * kColumns] - 220.0f) < 1.0f);
}

void TestNoAllocationAfterWarmUp() {
  const auto samples = recordings::Voice(2.0);
  std::vector<float> rows(400 * kColumns);
  for (int lag : {4, 29}) {
    LldStream stream(lag);
    CHECK(stream.state_bytes() < 64 * 1024);
    stream.Push(samples.data(), 4000);
    stream.Pop(stream.rows_ready(), rows.data());
    const long before = g_allocations;
    for (size_t start = 4000; start + 533 <= samples.size(); start += 533) {
      stream.Push(samples.data() + start, 533);
      stream.Pop(stream.rows_ready(), rows.data());
    }
    stream.Finish(false);
    stream.Reset();
    stream.Push(samples.data(), 4000);
    CHECK(g_allocations == before);
    CHECK(stream.state_bytes() < 64 * 1024);
  }
}

void TestRowsWaitForAPop() {
  const auto samples = recordings::Voice(4.0);
  LldStream stream(4);
  for (size_t start = 0; start < samples.size(); start += 160) stream.Push(samples.data() + start, 160);
  stream.Finish(false);
  std::vector<float> rows(static_cast<size_t>(stream.rows_ready()) * kColumns);
  stream.Pop(stream.rows_ready(), rows.data());
  CHECK(stream.rows_ready() == 0);
  CHECK(rows == Rows(samples, 4, 777));
}

void TestHardRecordings() {
  std::vector<std::vector<float>> hard(6, std::vector<float>(8000, 0.0f));
  recordings::Noise noise(3);
  for (size_t i = 0; i < 8000; ++i) {
    hard[1][i] = 0.5f;                                         // constant
    hard[2][i] = i / 40 % 2 ? 1.0f : -1.0f;                    // full-scale square, 200 Hz
    hard[3][i] = i % 1000 ? 0.0f : 1.0f;                       // impulses
    hard[4][i] = static_cast<float>(1e30 * noise.Uniform());   // far out of range
    hard[5][i] = static_cast<float>(1e-38 * noise.Uniform());  // denormal
  }
  for (const char* name : kSets) {
    CHECK(edgeaff::SetInstructionSetLimit(name));
    for (const auto& samples : hard) CHECK(Finite(Rows(samples, 29, 777)));
  }
}

void TestFuzz() {
  recordings::Noise noise(11);
  for (int round = 0; round < 40; ++round) {
    const double level = std::pow(10.0, -2.0 - 2.0 * noise.Uniform());
    auto samples = recordings::Voice(noise.Below(600) / 1000.0, level, noise.Next());
    const size_t from = static_cast<size_t>(noise.Below(static_cast<int>(samples.size()) + 1));
    for (size_t i = from; i < samples.size() && i < from + 2000; ++i) samples[i] = 0;
    CHECK(edgeaff::SetInstructionSetLimit(kSets[noise.Below(5)]));
    const bool compatible = round % 2 == 0;
    const int lag = noise.Below(30);
    const auto whole = Rows(samples, lag, samples.size() + 1, compatible);
    CHECK(Finite(whole));
    CHECK(Rows(samples, lag, 1 + static_cast<size_t>(noise.Below(900)), compatible) == whole);
  }
}

void TestStreamsInThreads() {
  const auto samples = recordings::Voice(0.5);
  const auto expected = Rows(samples, 4, 160);
  std::vector<std::thread> threads;
  std::atomic<int> equal{0};
  for (int k = 0; k < 4; ++k) threads.emplace_back([&] { equal += Rows(samples, 4, 160) == expected; });
  for (auto& thread : threads) thread.join();
  CHECK(equal == 4);
}

}  // namespace

int main() {
  TestStreamsInThreads();  // first, so that the tables are made by several threads at once
  TestChunking();
  TestInstructionSetsAgree();
  TestPitchOfATone();
  TestNoAllocationAfterWarmUp();
  TestRowsWaitForAPop();
  TestHardRecordings();
  TestFuzz();
  CHECK(edgeaff::SetInstructionSetLimit("best"));
  std::printf("LLD stream: all checks hold (best: %s)\n", edgeaff::InstructionSetName(edgeaff::BestInstructionSet()));
  return 0;
}
