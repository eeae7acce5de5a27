// SPDX-License-Identifier: Apache-2.0
#include "launcher/client/error_form.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "lib/base/text.h"

namespace cellrun::launcher {
namespace {

// Not owned: the number is the process's own.
void WriteToStderr(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody is left to tell
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

// What the text quotes of others is escaped where it is quoted, and a backslash in it is one of
// those: only what could act on the terminal is escaped here.
std::string EscapeHidden(std::string_view text) {
  std::string out;
  for (;;) {
    const std::size_t backslash = text.find('\\');
    out += text::Escape(text.substr(0, backslash));
    if (backslash == std::string_view::npos) return out;
    out.push_back('\\');
    text.remove_prefix(backslash + 1);
  }
}

// Lines after the first are indented below it, so that no text can look like a part of its own.
void AppendPart(std::string& out, std::string_view label, std::string_view text) {
  if (text.empty()) return;
  std::string_view prefix = label;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    out.append(prefix).append(EscapeHidden(line)).push_back('\n');
    prefix = "       ";
  }
}

}  // namespace

std::string FormatError(const ErrorForm& error) {
  std::string out;
  AppendPart(out, "error: ", error.what);
  AppendPart(out, "cause: ", error.cause);
  AppendPart(out, "try:   ", error.suggest);
  return out;
}
void PrintError(const ErrorForm& error) {
  WriteToStderr(FormatError(error));
}
void PrintNote(std::string_view text) {
  std::string out;
  AppendPart(out, "cellrun: ", text);
  WriteToStderr(out);
}

}  // namespace cellrun::launcher
