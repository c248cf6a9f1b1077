#include "capi/memory.h"

#include <cstdlib>
#include <new>

namespace edgeaff {
namespace {

thread_local Memory* g_current = nullptr;

constexpr size_t kRoom = 64 << 10;  // of a block that small pieces are cut from
constexpr size_t kLargestPiece = 8 << 10;
constexpr size_t kMostBytes = size_t{1} << (sizeof(size_t) * 8 - 2);

void* MallocAllocate(void*, size_t bytes, size_t) { return std::malloc(bytes); }
void MallocRelease(void*, void* memory, size_t) { std::free(memory); }

int TopBit(size_t value) { return static_cast<int>(sizeof(unsigned long long) * 8) - 1 - __builtin_clzll(value); }

}  // namespace

Memory* Memory::Create(const edgeaff_allocator* allocator) {
  edgeaff_allocator used{};
  used.size = sizeof(used);
  used.allocate = MallocAllocate, used.release = MallocRelease;
  if (allocator != nullptr) used = *allocator;
  void* const place = used.allocate(used.user, sizeof(Memory), alignof(Memory));
  if (place == nullptr) return nullptr;
  auto* const memory = new (place) Memory;
  memory->allocator_ = used;
  memory->bytes_ = sizeof(Memory);
  return memory;
}

void Memory::Destroy() {
  const edgeaff_allocator allocator = allocator_;
  for (Block* block = blocks_; block != nullptr;) {
    Block* const next = block->next;
    allocator.release(allocator.user, block, block->bytes);
    block = next;
  }
  this->~Memory();
  allocator.release(allocator.user, this, sizeof(Memory));
}

// Four classes for each power of two, from 32 bytes on.
uint32_t Memory::ClassOf(size_t bytes) {
  if (bytes <= 32) return 0;
  const int top = TopBit(bytes - 1);
  return static_cast<uint32_t>(4 * (top - 5) + static_cast<int>((bytes - 1) >> (top - 2) & 3) + 1);
}

size_t Memory::SizeOf(uint32_t size_class) {
  if (size_class == 0) return 32;
  const int top = static_cast<int>(size_class - 1) / 4 + 5;
  return (size_t{1} << top) + ((size_t{(size_class - 1) % 4} + 1) << (top - 2));
}

Memory::Block* Memory::Ask(size_t bytes) {
  const size_t whole = bytes + sizeof(Block);
  auto* const block = static_cast<Block*>(allocator_.allocate(allocator_.user, whole, alignof(Block)));
  if (block == nullptr) throw std::bad_alloc();
  block->next = blocks_, block->bytes = whole;
  blocks_ = block;
  bytes_ += whole;
  return block;
}

void* Memory::Allocate(size_t bytes) {
  if (bytes > kMostBytes) throw std::bad_alloc();
  const uint32_t size_class = ClassOf(bytes);
  if (Free* const free = free_[size_class]) {
    free_[size_class] = free->next;
    return free;
  }
  const size_t needed = sizeof(Header) + (SizeOf(size_class) + 15) / 16 * 16;
  char* place = nullptr;
  if (needed > kLargestPiece) {
    place = reinterpret_cast<char*>(Ask(needed) + 1);
  } else {
    if (needed > room_left_) {
      room_ = reinterpret_cast<char*>(Ask(kRoom) + 1);
      room_left_ = kRoom;
    }
    place = room_;
    room_ += needed, room_left_ -= needed;
  }
  auto* const header = new (place) Header{this, size_class};
  return header + 1;
}

void Memory::Release(void* memory) {
  if (memory == nullptr) return;
  Header* const header = static_cast<Header*>(memory) - 1;
  Memory* const owner = header->owner;
  if (owner == nullptr) {
    std::free(header);
    return;
  }
  const uint32_t size_class = header->size_class;
  owner->free_[size_class] = new (memory) Free{owner->free_[size_class]};
}

void* Memory::AllocateAnywhere(size_t bytes) {
  if (g_current != nullptr) return g_current->Allocate(bytes);
  if (bytes > kMostBytes) throw std::bad_alloc();
  void* const place = std::malloc(bytes + sizeof(Header));
  if (place == nullptr) throw std::bad_alloc();
  return new (place) Header{nullptr, 0} + 1;
}

Memory::Scope::Scope(Memory* memory) : before_(g_current) { g_current = memory; }
Memory::Scope::~Scope() { g_current = before_; }

}  // namespace edgeaff

// Of this library alone: the symbols are local to it.
void* operator new(std::size_t bytes) { return edgeaff::Memory::AllocateAnywhere(bytes); }
void* operator new[](std::size_t bytes) { return edgeaff::Memory::AllocateAnywhere(bytes); }
void operator delete(void* memory) noexcept { edgeaff::Memory::Release(memory); }
void operator delete[](void* memory) noexcept { edgeaff::Memory::Release(memory); }
void operator delete(void* memory, std::size_t) noexcept { edgeaff::Memory::Release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { edgeaff::Memory::Release(memory); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return edgeaff::Memory::AllocateAnywhere(bytes);
  } catch (const std::bad_alloc&) { return nullptr; }
}
void operator delete(void* memory, const std::nothrow_t&) noexcept { edgeaff::Memory::Release(memory); }
