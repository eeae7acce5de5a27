// SPDX-License-Identifier: Apache-2.0
#include "shim/block.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/wire/control.h"

namespace cellrun::shim {
namespace {

constexpr size_t kFreeSlots = 1;

uint64_t CountStrings(const Block& block) {
  uint64_t found = 0;
  const char* end = block.start + block.bytes;
  for (const char* at = block.start; at != end; found++) {
    const void* nul = memchr(at, '\0', static_cast<size_t>(end - at));
    at = static_cast<const char*>(nul) + 1;  // the last byte is known to be a NUL
  }
  return found;
}

// Fills `slots` with `count` pointers and a null behind them; returns what follows the last string.
char* FillPointers(char* at, char** slots, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    slots[i] = at;
    at += strlen(at) + 1;
  }
  slots[count] = nullptr;
  return at;
}

// A filter of the cell may answer mmap with 0; that is no memory either.
void* MapOrNull(size_t bytes, int protection, int flags, int fd) {
  void* start = mmap(nullptr, bytes, protection, flags, fd, 0);
  return start == MAP_FAILED ? nullptr : start;
}

}  // namespace

int MapBlock(int memory_file, uint32_t bytes, uint64_t strings, Block& block) {
  // Not shrinkable: a page that is gone would be a SIGBUS for init, and with it the cell's end.
  constexpr int kFrozen = F_SEAL_SHRINK | F_SEAL_WRITE;
  const int seals = fcntl(memory_file, F_GET_SEALS);
  struct stat facts {};
  if (seals < 0 || (seals & kFrozen) != kFrozen || fstat(memory_file, &facts) != 0) return EINVAL;
  if (bytes == 0 || bytes > wire::kMaxBlockBytes || facts.st_size != off_t{bytes}) return EINVAL;
  const void* start = MapOrNull(bytes, PROT_READ, MAP_PRIVATE, memory_file);
  if (start == nullptr) return ENOMEM;
  block = {.start = static_cast<const char*>(start), .bytes = bytes};
  if (block.start[bytes - 1] == '\0' && CountStrings(block) == strings) return 0;
  UnmapBlock(block);
  return EINVAL;
}

void UnmapBlock(Block& block) {
  if (block.start != nullptr) munmap(const_cast<char*>(block.start), block.bytes);
  block = Block();
}

int PointInto(const Block& block, uint32_t arguments, uint32_t environment, bool has_directory,
              Command& command) {
  const size_t slots = kFreeSlots + size_t{arguments} + 1 + size_t{environment} + 1;
  void* memory =
      MapOrNull(slots * sizeof(char*), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (memory == nullptr) return ENOMEM;
  // execve(2) takes pointers to char that it does not write through.
  char* at = const_cast<char*>(block.start);
  command.program = at;
  at += strlen(at) + 1;
  if (has_directory) {
    command.directory = at;
    at += strlen(at) + 1;
  }
  command.arguments = static_cast<char**>(memory) + kFreeSlots;
  command.environment = command.arguments + arguments + 1;
  at = FillPointers(at, command.arguments, arguments);
  FillPointers(at, command.environment, environment);
  return 0;
}

}  // namespace cellrun::shim
