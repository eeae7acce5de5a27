// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/watch/ask.h"
#include "launcher/watch/screen_text.h"

namespace cellrun::watch {

// Labels stand in a margin that no text of a cell can reach, whatever it wraps like.
inline constexpr std::size_t kMargin = 11;

// Rows of a label and what it says, wrapped behind the margin.
class Sheet {
 public:
  Sheet(std::size_t columns, Charset charset) : columns_(columns), charset_(charset) {}
  // `safe` text.
  void Add(std::string_view label, std::string_view safe, Style style = Style::kPlain);
  // Raw text.
  void AddRaw(std::string_view label, std::string_view untrusted, Style style = Style::kPlain);
  // Raw text with line ends that are ours, such as a rule's YAML.
  void AddText(std::string_view label, std::string_view text);
  void Blank() { lines_.emplace_back(); }
  std::vector<Line> Take() { return std::move(lines_); }
  [[nodiscard]] Charset charset() const { return charset_; }
  [[nodiscard]] std::size_t room() const { return columns_ > kMargin + 2 ? columns_ - kMargin : 2; }

 private:
  std::size_t columns_;
  Charset charset_;
  std::vector<Line> lines_;
};

// Everything that the digest of an ask covers and a person needs to judge it: who, what, why, what
// to be careful about. Short where the command is plain, one argument a line where it is not.
std::vector<Line> DetailLines(const Ask& ask, std::size_t columns, Charset charset);

// "strict.yaml:26", with the rule's name in quotes if it has one; "no rule".
std::string RuleText(const Ask& ask, Charset charset);

}  // namespace cellrun::watch
