// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace cellrun::output {

enum class Format : std::uint8_t { kTable, kJson, kJsonLines, kYaml, kName };

// "table" (and "text"), "json", "jsonl", "yaml", "name".
Format FormatFromName(std::string_view name);

// Columns padded to the widest cell, two spaces between them, no space at the end of a line. The
// first row is the header. Cells must be escaped already; width is counted in characters.
std::string Table(const std::vector<std::vector<std::string>>& rows, bool header);

// `document` as JSON, as one line for each element (an object is one), or as YAML.
std::string Document(const nlohmann::json& document, Format format);

// JSON text with every character that text::Escape would show, but for those that JSON escapes
// anyway, in JSON's own form (\u009b): the same value, and nothing in it that a terminal obeys or
// that a reader does not see.
std::string EscapeHidden(std::string_view json);

// To stdout; false when it could not be written (a closed pipe is silent, as any filter's end).
bool Print(std::string_view text);

// Whether stdout may have colour: "always", "never", or "auto" for a terminal without NO_COLOR.
bool UseColor(std::string_view when);

}  // namespace cellrun::output
