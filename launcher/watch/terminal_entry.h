// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

namespace cellrun::watch {

// A description of a terminal for machines whose own terminfo database does not have it.
struct TerminalEntry {
  const char* name;
  const char* description;  // for $TERMINFO: "hex:…", the compiled entry
};

// The entry for `terminal` or for its family ("xterm-kitty" is an xterm). They are those of the
// machine that built this program.
std::optional<TerminalEntry> BuiltInTerminal(std::string_view terminal);

}  // namespace cellrun::watch
