// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"
#include "lib/policy/glob.h"
#include "lib/policy/regex.h"

namespace cellrun::policy {

inline constexpr std::string_view kRegexPrefix = "re:";
inline constexpr std::size_t kMaxArgumentPatterns = 256;  // in one `args`

// One text of a condition: a literal, a glob, or `re:` and a regular expression.
class Pattern {
 public:
  // EINVAL; the operation says what is wrong.
  static Result<Pattern> Compile(std::string_view text, GlobKind kind);

  [[nodiscard]] bool Matches(std::string_view subject) const;
  // The only text that it matches, if there is only one.
  [[nodiscard]] const std::optional<std::string>& literal() const { return literal_; }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  Pattern() = default;
  std::string text_;
  std::optional<std::string> literal_;
  std::shared_ptr<const Glob> glob_;
  std::shared_ptr<const Regex> regex_;
};

// `args`: one pattern for each argument, in order; "**" stands for any number of them. The work is
// at most arguments × patterns.
class ArgumentsPattern {
 public:
  static Result<ArgumentsPattern> Compile(const std::vector<std::string>& patterns);

  [[nodiscard]] bool Matches(std::span<const std::string> arguments) const;
  // For a person: the first argument that fits nowhere, "'pull' is not 'push'".
  [[nodiscard]] std::string Mismatch(std::span<const std::string> arguments) const;

 private:
  ArgumentsPattern() = default;
  struct Element {
    std::optional<Pattern> pattern;  // nothing: any number of arguments
  };
  // Which elements may come next, one bit each; bit size(): everything has been matched.
  using Positions = std::vector<bool>;
  [[nodiscard]] Positions Begin() const;
  [[nodiscard]] Positions Step(const Positions& from, std::string_view argument) const;
  void SkipStars(Positions& positions) const;
  std::vector<Element> elements_;
};

}  // namespace cellrun::policy
