// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stddef.h>
#include <stdint.h>

// The strings of a command, in a sealed memory file, each ended by a NUL.
namespace cellrun::shim {

struct Block {
  const char* start = nullptr;
  size_t bytes = 0;
};

// Maps a block that holds exactly `strings` strings in exactly `bytes` bytes and cannot change any
// more. 0 or an errno; EINVAL where the block is not that.
int MapBlock(int memory_file, uint32_t bytes, uint64_t strings, Block& block);
void UnmapBlock(Block& block);

// The pointers that execve(2) takes. In front of `arguments` a slot is free, so that the shell
// of a script without an interpreter line can be put there.
struct Command {
  const char* program = nullptr;
  const char* directory = nullptr;  // nullptr in a block without one
  char** arguments = nullptr;
  char** environment = nullptr;
};

// `block` must have been mapped with 1 + has_directory + arguments + environment strings; it must
// outlive `command`. 0 or an errno. The pointer arrays are never unmapped: exec does that.
int PointInto(const Block& block, uint32_t arguments, uint32_t environment, bool has_directory,
              Command& command);

}  // namespace cellrun::shim
