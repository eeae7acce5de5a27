// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace cellrun::launcher {

// What went wrong, for a person. `what` is required.
struct ErrorForm {
  std::string what;     // "cannot read profile 'strcit'"
  std::string cause;    // "there is no profile of that name"
  std::string suggest;  // one command, or what to write instead
};

// "error: …\ncause: …\ntry: …\n", empty parts left out. Line breaks inside a part are kept and
// indented; all other control, format and bidi characters are escaped (lib/base/text.h).
// Backslashes are not: text that comes from a cell is escaped by who puts it into a part.
std::string FormatError(const ErrorForm& error);
// The same to stderr in one write(2).
void PrintError(const ErrorForm& error);
// "cellrun: TEXT" to stderr, escaped.
void PrintNote(std::string_view text);

}  // namespace cellrun::launcher
