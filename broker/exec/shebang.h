// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace cellrun::exec {

// BINPRM_BUF_SIZE: what the kernel looks at to tell how a file is executed.
inline constexpr std::size_t kHeaderBytes = 256;
// exec_binprm() gives up with ELOOP when it has followed more interpreters than this.
inline constexpr int kMaxInterpreters = 5;

struct Shebang {
  std::string interpreter;
  std::optional<std::string> argument;
};

// The first line of a script exactly as load_script() of the kernel understands it (5.2 and later:
// an interpreter path that may be cut off is refused). Nothing: not a script, or one that the
// kernel refuses with ENOEXEC. `header`: the first kHeaderBytes of the file, or all of a shorter
// one.
std::optional<Shebang> ParseShebang(std::string_view header);

}  // namespace cellrun::exec
