// SPDX-License-Identifier: Apache-2.0
#include "broker/http/filter.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>

#include "broker/journal/encode.h"

namespace cellrun::http {
namespace {

constexpr std::size_t kMaxGlobBytes = 1024;
constexpr std::size_t kMaxGlobStars = 8;  // SQLite's matcher takes |text|^stars in the worst case

bool ReadTime(const std::string& text, std::optional<std::chrono::system_clock::time_point>& time) {
  time = journal::ParseTime(text);
  return time.has_value();
}

bool ReadNames(const std::string& text, std::span<const std::string_view> known,
               std::vector<std::string>& names) {
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    names.push_back(text.substr(begin, end - begin));
    if (std::find(known.begin(), known.end(), names.back()) == known.end()) return false;
    begin = end + 1;
  }
  return true;
}

bool ReadKinds(const std::string& text, RecordQuery& query) {
  constexpr std::array<std::string_view, 7> kKinds = {"exec", "connect", "syscall", "ask",
                                                      "cell", "file",    "journal"};
  return ReadNames(text, kKinds, query.filter.kinds);
}

bool ReadVerdicts(const std::string& text, RecordQuery& query) {
  constexpr std::array<std::string_view, 3> kVerdicts = {"allow", "ask", "deny"};
  return ReadNames(text, kVerdicts, query.filter.verdicts);
}

bool ReadGlob(const std::string& text, RecordQuery& query) {
  query.filter.exe = text;
  return text.size() <= kMaxGlobBytes &&
         static_cast<std::size_t>(std::count(text.begin(), text.end(), '*')) <= kMaxGlobStars;
}

bool ReadLimit(const std::string& text, RecordQuery& query) {
  query.limit = ParseNumber(text);
  return query.limit && *query.limit > 0;
}

bool ReadAfter(const std::string& text, RecordQuery& query) {
  const auto number = ParseNumber(text);
  query.after = number.value_or(0);
  return number.has_value();
}

bool ReadFollow(const std::string& text, RecordQuery& query) {
  query.follow = text == "1";
  return text == "1" || text == "0";
}

struct Parameter {
  std::string_view name;
  const char* expected;
  bool (*read)(const std::string& text, RecordQuery& query);
};
constexpr std::array kParameters = {
    Parameter{"cell", "a name, an id or the start of one",
              [](const std::string& text, RecordQuery& query) {
                query.filter.cell = text;
                return !text.empty() && text.size() <= 256;
              }},
    Parameter{"kind", "exec, connect, syscall, ask, cell, file or journal, several with commas",
              ReadKinds},
    Parameter{"verdict", "allow, ask or deny, several with commas", ReadVerdicts},
    Parameter{"since", "a time as 2024-05-01T12:00:00Z",
              [](const std::string& text, RecordQuery& query) {
                return ReadTime(text, query.filter.since);
              }},
    Parameter{"until", "a time as 2024-05-01T12:00:00Z",
              [](const std::string& text, RecordQuery& query) {
                return ReadTime(text, query.filter.until);
              }},
    Parameter{"exe", "a glob with at most 8 stars", ReadGlob},
    Parameter{"text", "at most 1024 bytes",
              [](const std::string& text, RecordQuery& query) {
                query.filter.text = text;
                return text.size() <= 1024;
              }},
    Parameter{"limit", "a number from 1", ReadLimit},
    Parameter{"after", "a sequence number", ReadAfter},
    Parameter{"follow", "0 or 1", ReadFollow},
};

const Parameter* FindParameter(std::string_view name) {
  for (const Parameter& parameter : kParameters) {
    if (parameter.name == name) return &parameter;
  }
  return nullptr;
}

}  // namespace

std::optional<std::uint64_t> ParseNumber(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<Response> ReadQuery(const Request& request, RecordQuery& query) {
  std::vector<std::string_view> seen;
  for (const auto& [name, value] : request.query) {
    if (name == "format") continue;  // of export, which reads it
    const Parameter* const parameter = FindParameter(name);
    if (parameter == nullptr) return ErrorResponse(400, "unknown parameter '" + name + "'");
    if (std::find(seen.begin(), seen.end(), name) != seen.end()) {
      return ErrorResponse(400, "parameter '" + name + "' is given twice");
    }
    seen.push_back(name);
    if (parameter->read(value, query)) continue;
    std::string what = "wrong value for '" + name;
    what.append("': ").append(value);
    return ErrorResponse(400, what, std::string("expected ") + parameter->expected);
  }
  return std::nullopt;
}

}  // namespace cellrun::http
