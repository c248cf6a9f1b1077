#include "edgeaff/thread_pool.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace edgeaff {
namespace {

using Task = void (*)(void*, int64_t, int);

int ProcessId() {
#if defined(__unix__) || defined(__APPLE__)
  return static_cast<int>(getpid());
#else
  return 0;
#endif
}

// One job at a time: workers 1 .. width-1 and the caller take indices from one counter.
class Pool {
 public:
  void Run(int threads, int64_t count, Task task, void* context) {
    std::lock_guard<std::mutex> one_caller(caller_mutex_);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      threads = Grow(threads - 1) + 1;
      task_ = task;
      context_ = context;
      count_ = count;
      width_ = threads;
      next_.store(0);
      busy_ = threads - 1;
      ++generation_;
    }
    wake_.notify_all();
    Drain(task, context, count, 0);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  // Returns the number of workers there are, at most `wanted`: fewer where the system starts no more threads.
  int Grow(int wanted) {
    try {
      for (; started_ < wanted; ++started_) std::thread(&Pool::Work, this, started_ + 1).detach();
    } catch (const std::system_error&) {}
    return started_ < wanted ? started_ : wanted;
  }

  void Drain(Task task, void* context, int64_t count, int worker) {
    for (int64_t index = next_.fetch_add(1); index < count; index = next_.fetch_add(1)) task(context, index, worker);
  }

  void Work(int worker) {
    uint64_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return generation_ != seen; });
      seen = generation_;
      if (worker >= width_) continue;
      const Task task = task_;
      void* const context = context_;
      const int64_t count = count_;
      lock.unlock();
      Drain(task, context, count, worker);
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::mutex caller_mutex_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::atomic<int64_t> next_{0};
  Task task_ = nullptr;
  void* context_ = nullptr;
  int64_t count_ = 0;
  uint64_t generation_ = 0;
  int width_ = 0;
  int busy_ = 0;
  int started_ = 0;
};

struct OwnedPool {
  int owner;
  Pool pool;
};

// The pool is never destroyed: its workers may outlive static destruction. A forked child has none of its parent's
// threads and gets its own pool; no lock guards the choice, for another thread may have held it at the fork.
Pool& ProcessPool() {
  static std::atomic<OwnedPool*> current{nullptr};
  const int process = ProcessId();
  OwnedPool* known = current.load();
  while (known == nullptr || known->owner != process) {
    auto* const made = new OwnedPool{process, {}};
    if (current.compare_exchange_strong(known, made)) return made->pool;
    delete made;  // another thread was first; it has no workers yet
  }
  return known->pool;
}

}  // namespace

void ParallelFor(int threads, int64_t count, Task task, void* context) {
  if (count < threads) threads = static_cast<int>(count);
  if (threads <= 1) {
    for (int64_t index = 0; index < count; ++index) task(context, index, 0);
    return;
  }
  ProcessPool().Run(threads, count, task, context);
}

}  // namespace edgeaff
