// One CUDA block on the host, so that the attention kernels can be tested where no GPU is. Every CUDA thread is a fiber; barriers,
// shuffles, ldmatrix and mma wait for their partners as the hardware does; cp.async copies only land when they are waited for,
// so a wait that is missing or too lax shows as a wrong result. Races within a warp are not found: that takes compute-sanitizer.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace edgeaff {

using std::min;

class EmulatedBlock {
 public:
  static EmulatedBlock*& Current() {
    static EmulatedBlock* block = nullptr;
    return block;
  }

  EmulatedBlock(int threads, size_t shared_bytes)
      : threads_(threads), memory_(shared_bytes + 16, 0xFF), fibers_(threads) {}

  // Runs body(thread) on all threads to the end.
  void Run(const std::function<void(int)>& body) {
    Current() = this;
    body_ = &body;
    for (int i = 0; i < threads_; ++i) {
      Fiber& fiber = fibers_[i];
      fiber.stack.resize(256 * 1024);
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = fiber.stack.data();
      fiber.context.uc_stack.ss_size = fiber.stack.size();
      fiber.context.uc_link = &scheduler_;
      makecontext(&fiber.context, &EmulatedBlock::Enter, 0);
    }
    for (int left = threads_; left > 0;) {
      for (thread_ = 0; thread_ < threads_; ++thread_) {
        Fiber& fiber = fibers_[thread_];
        if (fiber.done) continue;
        swapcontext(&scheduler_, &fiber.context);
        if (fiber.done) --left;
      }
    }
    Current() = nullptr;
  }

  unsigned char* Shared() {
    return reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(memory_.data()) + 15) / 16 * 16);
  }

  void SyncThreads() { Arrive(all_, threads_); }
  void SyncWarp() { Arrive(warps_[thread_ / 32].barrier, 32); }

  // Every lane hands in `mine`; returns what all 32 lanes of the warp handed in.
  template <class T>
  std::vector<T> Exchange(const T& mine) {
    Warp& warp = warps_[thread_ / 32];
    warp.slots.resize(32 * 128);
    static_assert(sizeof(T) <= 128, "slot too small");
    std::memcpy(&warp.slots[thread_ % 32 * 128], &mine, sizeof(T));
    SyncWarp();
    std::vector<T> all(32);
    for (int lane = 0; lane < 32; ++lane) std::memcpy(&all[lane], &warp.slots[lane * 128], sizeof(T));
    SyncWarp();
    return all;
  }

  int lane() const { return thread_ % 32; }

  void Copy(void* to, const void* from, bool exists) { fibers_[thread_].open.push_back({to, from, exists}); }
  void Commit() {
    fibers_[thread_].groups.push_back(std::move(fibers_[thread_].open));
    fibers_[thread_].open.clear();
  }
  void Wait(int pending) {
    auto& groups = fibers_[thread_].groups;
    while (static_cast<int>(groups.size()) > pending) {
      for (const PendingCopy& copy : groups.front()) {
        if (copy.exists)
          std::memcpy(copy.to, copy.from, 16);
        else
          std::memset(copy.to, 0, 16);
      }
      groups.pop_front();
    }
  }

 private:
  struct PendingCopy {
    void* to;
    const void* from;
    bool exists;
  };
  struct Barrier {
    int arrived = 0;
    long generation = 0;
  };
  struct Warp {
    Barrier barrier;
    std::vector<unsigned char> slots;
  };
  struct Fiber {
    ucontext_t context;
    std::vector<char> stack;
    bool done = false;
    std::vector<PendingCopy> open;
    std::deque<std::vector<PendingCopy>> groups;
  };

  static void Enter() {
    EmulatedBlock& block = *Current();
    const int thread = block.thread_;
    (*block.body_)(thread);
    block.fibers_[thread].done = true;
  }

  void Arrive(Barrier& barrier, int count) {
    const long generation = barrier.generation;
    if (++barrier.arrived == count) {
      barrier.arrived = 0;
      ++barrier.generation;
      return;
    }
    for (long spins = 0; barrier.generation == generation; ++spins) {
      if (spins > 1000000) {
        std::fprintf(stderr, "emulated block: a barrier is not reached by all threads\n");
        std::abort();
      }
      const int mine = thread_;
      swapcontext(&fibers_[mine].context, &scheduler_);
    }
  }

  const int threads_;
  int thread_ = 0;
  std::vector<unsigned char> memory_;
  std::vector<Fiber> fibers_;
  ucontext_t scheduler_;
  const std::function<void(int)>* body_ = nullptr;
  Barrier all_;
  Warp warps_[32];
};

inline EmulatedBlock& Block() { return *EmulatedBlock::Current(); }
inline unsigned char* SharedMemory() { return Block().Shared(); }
inline void SyncBlock() { Block().SyncThreads(); }
inline void SyncWarp() { Block().SyncWarp(); }
inline float FastExp2(float x) { return std::exp2(x); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float ShuffleXor(float value, int mask) { return Block().Exchange(value)[Block().lane() ^ mask]; }

inline void CopyAsync16(void* shared, const void* global, bool exists) { Block().Copy(shared, global, exists); }
inline void CommitCopies() { Block().Commit(); }
template <int kPending>
void WaitCopies() {
  Block().Wait(kPending);
}

template <bool kTranspose>
void LoadMatrices(uint32_t (&out)[4], const void* row) {
  const auto rows = Block().Exchange(reinterpret_cast<uintptr_t>(row));
  const int g = Block().lane() / 4, t = Block().lane() % 4;
  for (int m = 0; m < 4; ++m) {
    uint16_t pair[2];
    for (int e = 0; e < 2; ++e) {
      const int r = kTranspose ? 2 * t + e : g, c = kTranspose ? g : 2 * t + e;
      if (rows[8 * m + r] % 16 != 0) std::abort();  // the hardware demands it
      std::memcpy(&pair[e], reinterpret_cast<const uint16_t*>(rows[8 * m + r]) + c, 2);
    }
    out[m] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
  }
}

template <class T>
float Unpack(uint32_t pair, int e) {
  const uint16_t bits = static_cast<uint16_t>(pair >> (16 * e));
  T value;
  std::memcpy(static_cast<void*>(&value), &bits, 2);
  return static_cast<float>(value);
}

template <class T>
void MultiplyAccumulate(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, T) {
  struct Fragments {
    uint32_t a[4], b[2];
  };
  Fragments mine;
  std::memcpy(mine.a, a, sizeof mine.a);
  mine.b[0] = b0;
  mine.b[1] = b1;
  const auto all = Block().Exchange(mine);
  const int g = Block().lane() / 4, t = Block().lane() % 4;
  for (int e = 0; e < 4; ++e) {
    const int row = g + e / 2 * 8, column = 2 * t + e % 2;
    float sum = 0.0f;
    for (int k = 0; k < 16; ++k) {
      const Fragments& left = all[row % 8 * 4 + k % 8 / 2];
      const Fragments& right = all[column * 4 + k % 8 / 2];
      sum += Unpack<T>(left.a[row / 8 + k / 8 * 2], k % 2) * Unpack<T>(right.b[k / 8], k % 2);
    }
    c[e] += sum;
  }
}

}  // namespace edgeaff
