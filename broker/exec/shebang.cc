// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/shebang.h"

#include <array>
#include <cstring>

namespace cellrun::exec {
namespace {

// The kernel's buffer is padded with NULs; positions below are into it. npos is the kernel's NULL.
constexpr std::size_t kNone = std::string_view::npos;
constexpr std::size_t kLast = kHeaderBytes - 1;

bool IsBlank(char c) {
  return c == ' ' || c == '\t';
}

// Both look at `last` too.
std::size_t NextNonBlank(std::string_view buffer, std::size_t first, std::size_t last) {
  for (; first <= last; ++first) {
    if (!IsBlank(buffer[first])) return first;
  }
  return kNone;
}
std::size_t NextTerminator(std::string_view buffer, std::size_t first, std::size_t last) {
  for (; first <= last; ++first) {
    if (IsBlank(buffer[first]) || buffer[first] == '\0') return first;
  }
  return kNone;
}

// strnchr(): stops at a NUL.
std::size_t FindNewline(std::string_view buffer) {
  const std::size_t found = buffer.find_first_of(std::string_view("\n\0", 2));
  return found != kNone && buffer[found] == '\n' ? found : kNone;
}

// The string at `first`, which ends at `end` at the latest.
std::string CString(std::string_view buffer, std::size_t first, std::size_t end) {
  const std::string_view text = buffer.substr(first, end - first);
  return std::string(text.substr(0, text.find('\0')));
}

}  // namespace

std::optional<Shebang> ParseShebang(std::string_view header) {
  if (!header.starts_with("#!")) return std::nullopt;
  std::array<char, kHeaderBytes> padded{};
  memcpy(padded.data(), header.data(), std::min(header.size(), padded.size()));
  const std::string_view buffer(padded.data(), padded.size());

  std::size_t end = FindNewline(buffer);
  if (end == kNone) {
    const std::size_t name = NextNonBlank(buffer, 2, kLast);
    if (name == kNone) return std::nullopt;
    if (NextTerminator(buffer, name, kLast) == kNone) return std::nullopt;  // cut off
    end = kLast;
  }
  while (IsBlank(buffer[end - 1])) --end;
  const std::size_t name = NextNonBlank(buffer, 2, end);
  if (name == kNone || name == end) return std::nullopt;

  Shebang shebang;
  const std::size_t separator = NextTerminator(buffer, name, end);
  std::size_t argument = kNone;
  if (separator != kNone && buffer[separator] != '\0') {
    argument = NextNonBlank(buffer, separator, end);
  }
  // The kernel ends the line at `end` before it copies, and the name at the separator if there is
  // an argument.
  if (argument != kNone && argument < end) {
    shebang.argument = CString(buffer, argument, end);
  } else if (argument != kNone) {
    shebang.argument = "";
  }
  shebang.interpreter = CString(buffer, name, argument != kNone ? separator : end);
  return shebang;
}

}  // namespace cellrun::exec
