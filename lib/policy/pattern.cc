// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/pattern.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lib/base/text.h"

namespace cellrun::policy {
namespace {

constexpr std::size_t kShownBytes = 60;

std::string Shown(std::string_view text) {
  return "'" + text::EscapeShort(text, kShownBytes) + "'";
}

}  // namespace

Result<Pattern> Pattern::Compile(std::string_view text, GlobKind kind) {
  Pattern pattern;
  pattern.text_ = text;
  if (text.starts_with(kRegexPrefix)) {
    pattern.regex_ = TRY(Regex::Compile(text.substr(kRegexPrefix.size())));
    return pattern;
  }
  if (!HasGlobCharacters(text)) {
    pattern.literal_ = text;
    return pattern;
  }
  Glob glob = TRY(Glob::Compile(text, kind));
  if (glob.literal()) {
    pattern.literal_ = glob.literal_prefix();
  } else {
    pattern.glob_ = std::make_shared<const Glob>(std::move(glob));
  }
  return pattern;
}

bool Pattern::Matches(std::string_view subject) const {
  if (literal_) return *literal_ == subject;
  if (glob_) return glob_->Matches(subject);
  return regex_->Matches(subject);
}

Result<ArgumentsPattern> ArgumentsPattern::Compile(const std::vector<std::string>& patterns) {
  if (patterns.size() > kMaxArgumentPatterns) return Error(EINVAL, "more than 256 patterns");
  ArgumentsPattern compiled;
  for (const std::string& text : patterns) {
    if (text != "**") {
      compiled.elements_.push_back({TRY(Pattern::Compile(text, GlobKind::kArgument))});
    } else if (compiled.elements_.empty() || compiled.elements_.back().pattern) {
      compiled.elements_.push_back({std::nullopt});
    }
  }
  return compiled;
}

void ArgumentsPattern::SkipStars(Positions& positions) const {
  for (std::size_t i = 0; i < elements_.size(); ++i) {
    if (positions[i] && !elements_[i].pattern) positions[i + 1] = true;
  }
}

ArgumentsPattern::Positions ArgumentsPattern::Begin() const {
  Positions positions(elements_.size() + 1, false);
  positions[0] = true;
  SkipStars(positions);
  return positions;
}

ArgumentsPattern::Positions ArgumentsPattern::Step(const Positions& from,
                                                   std::string_view argument) const {
  Positions to(elements_.size() + 1, false);
  for (std::size_t i = 0; i < elements_.size(); ++i) {
    if (!from[i]) continue;
    if (!elements_[i].pattern) {
      to[i] = true;
    } else if (elements_[i].pattern->Matches(argument)) {
      to[i + 1] = true;
    }
  }
  SkipStars(to);
  return to;
}

bool ArgumentsPattern::Matches(std::span<const std::string> arguments) const {
  Positions positions = Begin();
  for (const std::string& argument : arguments) {
    // "**" at the end takes everything that is left: nothing to step through.
    if (!elements_.empty() && !elements_.back().pattern && positions[elements_.size() - 1]) {
      return true;
    }
    positions = Step(positions, argument);
    if (std::find(positions.begin(), positions.end(), true) == positions.end()) return false;
  }
  return positions[elements_.size()];
}

std::string ArgumentsPattern::Mismatch(std::span<const std::string> arguments) const {
  Positions positions = Begin();
  for (const std::string& argument : arguments) {
    Positions next = Step(positions, argument);
    if (std::find(next.begin(), next.end(), true) != next.end()) {
      positions = std::move(next);
      continue;
    }
    const auto wanted = std::find(positions.begin(), positions.end() - 1, true);
    if (wanted == positions.end() - 1) return Shown(argument) + " is one argument too many";
    const Element& element = elements_[static_cast<std::size_t>(wanted - positions.begin())];
    return Shown(argument) + " is not " + Shown(element.pattern->text());
  }
  const auto wanted = std::find(positions.begin(), positions.end() - 1, true);
  if (wanted == positions.end() - 1) return "";
  std::size_t index = static_cast<std::size_t>(wanted - positions.begin());
  while (index < elements_.size() && !elements_[index].pattern) ++index;
  if (index >= elements_.size()) return "";
  return Shown(elements_[index].pattern->text()) + " is missing";
}

}  // namespace cellrun::policy
