// SPDX-License-Identifier: Apache-2.0
#include "launcher/watch/terminal_entry.h"

#include <algorithm>
#include <array>

#include "launcher/watch/terminal_entries.h"  // generated: kTerminalEntries

namespace cellrun::watch {
namespace {

struct Family {
  std::string_view prefix, name;
};
constexpr std::array kFamilies = {
    Family{"xterm", "xterm-256color"},
    Family{"screen", "screen-256color"},
    Family{"tmux", "tmux-256color"},
    Family{"rxvt", "rxvt-unicode-256color"},
    Family{"alacritty", "xterm-256color"},
    Family{"foot", "xterm-256color"},
    Family{"kitty", "xterm-256color"},
    Family{"linux", "linux"},
    Family{"vt", "vt100"},
};

std::optional<TerminalEntry> Find(std::string_view name) {
  const auto* found =
      std::find_if(kTerminalEntries.begin(), kTerminalEntries.end(),
                   [name](const TerminalEntry& entry) { return entry.name == name; });
  if (found == kTerminalEntries.end()) return std::nullopt;
  return *found;
}

}  // namespace

std::optional<TerminalEntry> BuiltInTerminal(std::string_view terminal) {
  if (auto entry = Find(terminal)) return entry;
  for (const Family& family : kFamilies) {
    if (terminal.starts_with(family.prefix)) return Find(family.name);
  }
  return std::nullopt;
}

}  // namespace cellrun::watch
