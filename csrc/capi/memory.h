// Memory of one object of the C interface: every allocation of the library inside a Scope comes from here.
#pragma once
#include <cstddef>
#include <cstdint>

#include "edgeaff.h"

namespace edgeaff {

// Blocks from the caller's allocator, handed out in size classes and used again: once as much has been needed as ever is,
// nothing is asked for. One thread at a time. The object has its own block.
class Memory {
 public:
  // allocator: null for malloc. Returns null where it has no memory.
  static Memory* Create(const edgeaff_allocator* allocator);
  void Destroy();  // gives everything back, this object too

  // 16-byte aligned; throws std::bad_alloc.
  void* Allocate(size_t bytes);
  static void Release(void* memory);  // of any Memory, or of malloc outside of a Scope

  size_t bytes() const { return bytes_; }  // asked for so far
  const edgeaff_allocator& allocator() const { return allocator_; }

  // While it lives, operator new of this library takes from a Memory in this thread.
  class Scope {
   public:
    explicit Scope(Memory* memory);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Memory* before_;
  };
  static void* AllocateAnywhere(size_t bytes);  // of the Scope of this thread, else of malloc

 private:
  struct alignas(16) Block {
    Block* next;
    size_t bytes;
  };
  struct alignas(16) Header {
    Memory* owner;
    uint32_t size_class;
  };
  struct Free {
    Free* next;
  };
  static constexpr int kClasses = 256;

  static uint32_t ClassOf(size_t bytes);
  static size_t SizeOf(uint32_t size_class);
  Block* Ask(size_t bytes);

  edgeaff_allocator allocator_{};
  Block* blocks_ = nullptr;
  size_t bytes_ = 0;
  char* room_ = nullptr;
  size_t room_left_ = 0;
  Free* free_[kClasses] = {};
};

}  // namespace edgeaff
