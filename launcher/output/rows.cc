// SPDX-License-Identifier: Apache-2.0
#include "launcher/output/rows.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>

#include "launcher/client/error_form.h"
#include "lib/base/result.h"
#include "lib/base/text.h"

namespace cellrun::output {
namespace {

using nlohmann::json;

std::size_t Characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string Dump(const json& value, int indent = -1) {
  return EscapeHidden(value.dump(indent, ' ', false, json::error_handler_t::replace));
}

// Bytes of the UTF-8 character that begins so.
std::size_t LengthOf(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// The number in "\\u{202e}", text::Escape's form; nothing where the character is shown as it is.
std::optional<std::uint32_t> HiddenCode(std::string_view character) {
  constexpr std::string_view kForm = "\\u{";
  const std::string shown = text::Escape(character);
  if (!shown.starts_with(kForm)) return std::nullopt;
  std::uint32_t code = 0;
  std::from_chars(shown.data() + kForm.size(), shown.data() + shown.size(), code, 16);
  return code;
}

std::string Escaped(std::uint32_t code) {
  constexpr std::uint32_t kBeyond = 0x10000, kHigh = 0xD800, kLow = 0xDC00;
  std::array<char, 16> text{};
  if (code < kBeyond) {
    (void)snprintf(text.data(), text.size(), "\\u%04x", code);
  } else {
    (void)snprintf(text.data(), text.size(), "\\u%04x\\u%04x", kHigh + ((code - kBeyond) >> 10),
                   kLow + ((code - kBeyond) & 0x3FF));
  }
  return text.data();
}

// Block style; scalars and keys as JSON writes them, which YAML reads the same.
void AddYaml(const json& value, std::size_t indent, std::string* out) {
  const std::string margin(indent, ' ');
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, item] : value.items()) {
      const bool nested = item.is_structured() && !item.empty();
      *out += margin + Dump(key) + ":" + (nested ? "\n" : " " + Dump(item) + "\n");
      if (nested) AddYaml(item, indent + 2, out);
    }
  } else if (value.is_array() && !value.empty()) {
    for (const json& item : value) {
      const bool nested = item.is_structured() && !item.empty();
      if (!nested) {
        *out += margin + "- " + Dump(item) + "\n";
        continue;
      }
      std::string inner;
      AddYaml(item, indent + 2, &inner);
      inner[indent] = '-';  // the first line's margin
      *out += inner;
    }
  } else {
    *out += margin + Dump(value) + "\n";
  }
}

}  // namespace

Format FormatFromName(std::string_view name) {
  if (name == "json") return Format::kJson;
  if (name == "jsonl") return Format::kJsonLines;
  if (name == "yaml") return Format::kYaml;
  if (name == "name") return Format::kName;
  return Format::kTable;
}

std::string Table(const std::vector<std::vector<std::string>>& rows, bool header) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], Characters(row[i]));
    }
  }
  std::string out;
  for (std::size_t r = header ? 0 : 1; r < rows.size(); ++r) {
    std::string line;
    for (std::size_t i = 0; i < rows[r].size(); ++i) {
      line += rows[r][i] + std::string(widths[i] - Characters(rows[r][i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string EscapeHidden(std::string_view json) {
  constexpr char kDelete = 0x7f;
  std::string out;
  out.reserve(json.size());
  for (std::size_t at = 0; at < json.size();) {
    const std::size_t length = std::min(LengthOf(json[at]), json.size() - at);
    const std::string_view character = json.substr(at, length);
    at += length;
    // ASCII but DEL is as JSON has it: line breaks of an indented document stay.
    const bool plain = length == 1 && character[0] != kDelete;
    const std::optional<std::uint32_t> code = plain ? std::nullopt : HiddenCode(character);
    if (code) {
      out += Escaped(*code);
    } else {
      out += character;
    }
  }
  return out;
}

std::string Document(const json& document, Format format) {
  switch (format) {
    case Format::kYaml: {
      std::string out;
      AddYaml(document, 0, &out);
      return out;
    }
    case Format::kJsonLines: {
      if (!document.is_array()) return Dump(document) + "\n";
      std::string out;
      for (const json& item : document) out += Dump(item) + "\n";
      return out;
    }
    default:
      return Dump(document, 2) + "\n";
  }
}

bool Print(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(STDOUT_FILENO, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EPIPE) {
      launcher::PrintError(
          {.what = "cannot write to stdout", .cause = ErrnoText(errno), .suggest = ""});
    }
    return false;
  }
  return true;
}

bool UseColor(std::string_view when) {
  if (when == "always") return true;
  if (when == "never") return false;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): single-threaded
  const char* no_color = getenv("NO_COLOR");
  // NOLINTNEXTLINE(concurrency-mt-unsafe)
  const char* term = getenv("TERM");
  const bool dumb = term != nullptr && std::string_view(term) == "dumb";
  return isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0') && !dumb;
}

}  // namespace cellrun::output
