// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "lib/base/unique_fd.h"

namespace cellrun::exec {

enum class ElfKind {
  kNone,     // not an ELF file for x86_64 that makes sense
  kProgram,  // an executable
  // A dynamic loader: started as a program it maps and runs the program that its arguments name,
  // which no execve ever sees.
  kLoader,
};

// `header`: the first bytes of the file. Reads what else it needs from `contents`.
//
// A loader is a shared object without an interpreter of its own that is not a static-pie program
// (DF_1_PIE) and either has a loader's soname (ld-*, libc.musl-*) or exports dlopen. So copies and
// renamed loaders are found; one whose bytes were changed to hide it is a program that the cell
// wrote, and judged as that.
ElfKind InspectElf(std::string_view header, const UniqueFd& contents);

}  // namespace cellrun::exec
