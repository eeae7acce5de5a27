// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/watch/key.h"
#include "launcher/watch/screen_text.h"

namespace cellrun::watch {

// One line of text that a person types.
class LineEditor {
 public:
  LineEditor() = default;
  explicit LineEditor(std::string_view text);  // UTF-8
  void Press(const Key& key);                  // everything but Enter and Escape
  [[nodiscard]] std::string text() const;
  // A window of the line with the cursor in it, and the cursor's column.
  struct Window {
    std::string safe;
    std::size_t cursor = 0;
  };
  [[nodiscard]] Window Draw(std::size_t columns, Charset charset) const;

 private:
  std::u32string text_;
  std::size_t cursor_ = 0;
};

// Words as DisplayArguments writes them, back to what they stand for: blanks between them, double
// quotes, \\ \" \u{HEX} \x{HH}, and the usual \n \t. Nothing where that is not what the line says.
std::optional<std::vector<std::string>> ParseArguments(std::string_view line);

}  // namespace cellrun::watch
