// SPDX-License-Identifier: Apache-2.0
// A pattern compiles or says why not; what it matches is what a plain recursive matcher says, for
// the part of the syntax that such a matcher can have. Input: kind, pattern, subjects, with NULs
// between.
#include "lib/policy/pattern.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/check.h"

using namespace cellrun;

namespace {

constexpr std::size_t kMaxPlain = 40;  // the recursion is exponential

// `*` and `?` only, on ASCII.
bool IsPlain(std::string_view text, std::string_view special) {
  if (text.size() > kMaxPlain || text.find_first_of(special) != std::string_view::npos)
    return false;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  }
  return true;
}
bool MatchesPlainly(std::string_view pattern, std::string_view subject) {
  if (pattern.empty()) return subject.empty();
  if (pattern[0] == '*') {
    while (pattern.size() > 1 && pattern[1] == '*') pattern.remove_prefix(1);
    for (std::size_t taken = 0; taken <= subject.size(); ++taken) {
      if (MatchesPlainly(pattern.substr(1), subject.substr(taken))) return true;
    }
    return false;
  }
  if (subject.empty() || (pattern[0] != '?' && pattern[0] != subject[0])) return false;
  return MatchesPlainly(pattern.substr(1), subject.substr(1));
}

std::size_t Stars(std::string_view pattern) {
  std::size_t stars = 0;
  for (const char c : pattern) stars += c == '*' ? 1U : 0U;
  return stars;
}

void CheckGlob(const std::string& pattern, const std::vector<std::string>& subjects,
               policy::GlobKind kind) {
  const auto glob = policy::Glob::Compile(pattern, kind);
  if (!glob.ok()) {
    CHECK(!glob.error().ToString().empty());
    return;
  }
  if (glob.value().literal()) CHECK(glob.value().Matches(glob.value().literal_prefix()));
  const bool plain =
      kind == policy::GlobKind::kArgument && IsPlain(pattern, "[]{}\\!,") && Stars(pattern) <= 4;
  for (const std::string& subject : subjects) {
    const bool matches = glob.value().Matches(subject);
    if (matches) CHECK(subject.starts_with(glob.value().literal_prefix()));
    if (plain && IsPlain(subject, "")) CHECK(matches == MatchesPlainly(pattern, subject));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  std::vector<std::string> parts(1);
  for (const char c : bytes) {
    if (c == '\0') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  const std::string pattern = parts[0];
  parts.erase(parts.begin());
  const auto kind = data[0] % 2 == 0 ? policy::GlobKind::kArgument : policy::GlobKind::kPath;
  CheckGlob(pattern, parts, kind);

  // The same parts as the patterns of `args`, matched against themselves.
  const auto arguments = policy::ArgumentsPattern::Compile(parts);
  if (!arguments.ok()) return 0;
  const bool matched = arguments.value().Matches(parts);
  if (!matched) CHECK(!arguments.value().Mismatch(parts).empty());
  bool literal = true;
  for (const std::string& part : parts) {
    const auto compiled = policy::Pattern::Compile(part, policy::GlobKind::kArgument);
    literal = literal && compiled.ok() && compiled.value().literal() == part;
  }
  if (literal) CHECK(matched);
  return 0;
}
