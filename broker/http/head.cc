// SPDX-License-Identifier: Apache-2.0
#include "broker/http/head.h"

#include <algorithm>
#include <cstddef>

namespace cellrun::http {
namespace {

constexpr std::size_t kMaxTargetBytes = 8192;
constexpr std::size_t kMaxFields = 64;
constexpr std::size_t kMaxLengthDigits = 10;

bool IsTokenByte(char c) {
  constexpr std::string_view kOther = "!#$%&'*+-.^_`|~";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         kOther.find(c) != std::string_view::npos;
}
bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenByte);
}
bool IsVisible(char c) {
  return c > 0x20 && c < 0x7f;
}
bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<std::string> StartLineProblem(std::string_view line) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return "the request line is malformed";
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!IsToken(method)) return "the method is malformed";
  if (target.empty() || target.size() > kMaxTargetBytes || target.front() != '/' ||
      !std::all_of(target.begin(), target.end(), IsVisible)) {
    return "the target is malformed";
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return "only HTTP/1.1 is spoken here";
  return std::nullopt;
}

struct Seen {
  std::size_t fields = 0, lengths = 0, hosts = 0;
};

std::optional<std::string> FieldProblem(std::string_view line, Seen& seen) {
  if (++seen.fields > kMaxFields) return "too many header fields";
  if (line.front() == ' ' || line.front() == '\t') return "folded header lines are refused";
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) {
    return "a header line is malformed";
  }
  const std::string name = Lower(line.substr(0, colon));
  const std::string_view value = Trim(line.substr(colon + 1));
  if (name == "transfer-encoding" || name == "trailer") {
    return "Transfer-Encoding is refused: give a Content-Length";
  }
  if (name == "host" && ++seen.hosts > 1) return "Host is given twice";
  if (name == "expect") return "Expect is not supported";
  if (name == "content-length") {
    if (++seen.lengths > 1) return "Content-Length is given twice";
    if (value.empty() || value.size() > kMaxLengthDigits ||
        !std::all_of(value.begin(), value.end(), IsDigit)) {
      return "Content-Length is malformed";
    }
  }
  return std::nullopt;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> Decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = HexDigit(text[i + 1]);
    const int low = HexDigit(text[i + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return out;
}

// A slash that was written as %2F separates like any other here, so it is refused.
bool IsPlainPath(std::string_view raw, std::string_view path) {
  if (std::count(raw.begin(), raw.end(), '/') != std::count(path.begin(), path.end(), '/')) {
    return false;
  }
  for (std::size_t begin = 1; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view segment = path.substr(begin, end - begin);
    if ((segment.empty() && path != "/") || segment == "." || segment == "..") return false;
    begin = end + 1;
  }
  return true;
}

}  // namespace

std::optional<std::string> HeadProblem(std::string_view head) {
  if (!head.ends_with("\r\n\r\n")) return "the head is not complete";
  Seen seen;
  bool first = true;
  for (std::size_t begin = 0; begin + 2 < head.size();) {
    const std::size_t end = head.find("\r\n", begin);
    const std::string_view line = head.substr(begin, end - begin);
    const bool printable = std::all_of(
        line.begin(), line.end(), [](char c) { return c == '\t' || c == ' ' || IsVisible(c); });
    if (line.empty() || !printable) return "the head has control or non-ASCII bytes";
    auto problem = first ? StartLineProblem(line) : FieldProblem(line, seen);
    if (problem) return problem;
    first = false;
    begin = end + 2;
  }
  if (first) return "the head is empty";
  return std::nullopt;
}

std::optional<ParsedTarget> ParseTarget(std::string_view target) {
  if (!target.starts_with('/')) return std::nullopt;
  const std::size_t mark = std::min(target.find('?'), target.size());
  const std::string_view raw_path = target.substr(0, mark);
  const auto path = Decode(raw_path);
  if (!path || !IsPlainPath(raw_path, *path)) return std::nullopt;
  ParsedTarget parsed{.path = *path, .query = {}};
  for (std::size_t begin = mark + 1; begin < target.size();) {
    const std::size_t end = std::min(target.find('&', begin), target.size());
    const std::string_view part = target.substr(begin, end - begin);
    const std::size_t equals = std::min(part.find('='), part.size());
    auto name = Decode(part.substr(0, equals));
    auto value = Decode(equals < part.size() ? part.substr(equals + 1) : std::string_view());
    if (!name || !value) return std::nullopt;
    if (!name->empty()) parsed.query.emplace_back(std::move(*name), std::move(*value));
    begin = end + 1;
  }
  return parsed;
}

}  // namespace cellrun::http
