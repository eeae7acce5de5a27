// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cellrun::http {

// Why the head of a request (up to and with its empty line) is refused before any parser sees it;
// nothing: it may be parsed. Strict where parsers differ, because that is what request smuggling
// lives on: bare CR or LF, control or non-ASCII bytes, folded lines, space before a colon, a second
// or malformed Content-Length or Host, any Transfer-Encoding, HTTP versions but 1.0 and 1.1.
std::optional<std::string> HeadProblem(std::string_view head);

// A target split and decoded: "/a%20b?x=1&y". Nothing: not absolute, a bad escape, a NUL, or an
// empty, "." or ".." segment. '+' stands for itself.
struct ParsedTarget {
  std::string path;
  std::vector<std::pair<std::string, std::string>> query;
};
std::optional<ParsedTarget> ParseTarget(std::string_view target);

}  // namespace cellrun::http
