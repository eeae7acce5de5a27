// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

namespace cellrun::watch {

// A description of a terminal: for machines whose terminfo database does not have it, and instead
// of one that says too much of a common emulator.
struct TerminalEntry {
  const char* name;
  const char* description;  // for $TERMINFO: "hex:…", the compiled entry
};

// The entry for `terminal` or for its family ("xterm-kitty" is an xterm). They are those of the
// machine that built this program, without `rep`.
std::optional<TerminalEntry> BuiltInTerminal(std::string_view terminal);

}  // namespace cellrun::watch
