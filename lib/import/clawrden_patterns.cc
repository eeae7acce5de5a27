// SPDX-License-Identifier: Apache-2.0
#include "lib/import/clawrden_patterns.h"

#include <algorithm>

#include "lib/policy/glob.h"

namespace cellrun::import {
namespace {

bool IsPlainMember(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '+';
}

// Members of a class as they stand, if a profile means the same by them.
bool TakeClass(std::string_view& rest, GoGlob& out) {
  const std::size_t end = rest.find(']', rest.starts_with("^") ? 2 : 1);
  if (end == std::string_view::npos) {
    out.valid = false;
    return false;
  }
  std::string_view members = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  out.glob += '[';
  if (members.starts_with("^")) {
    out.glob += '!';
    members.remove_prefix(1);
  }
  for (std::size_t i = 0; i < members.size(); ++i) {
    const bool range = members[i] == '-' && i > 0 && i + 1 < members.size();
    if (!IsPlainMember(members[i]) && !range) out.expressible = false;
    out.glob += members[i];
  }
  out.glob += ']';
  return true;
}

std::string Escaped(char c) {
  return policy::EscapeGlob(std::string_view(&c, 1));
}

// EscapeGlob, and "re:" in front is no regular expression.
std::string Literal(std::string_view text) {
  if (text.starts_with("re:")) return "\\r" + policy::EscapeGlob(text.substr(1));
  return policy::EscapeGlob(text);
}

std::vector<std::string_view> SplitAtSpaces(std::string_view text) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t space = text.find(' ');
    parts.push_back(text.substr(0, space));
    if (space == std::string_view::npos) return parts;
    text.remove_prefix(space + 1);
  }
}

}  // namespace

GoGlob TranslateGlob(std::string_view pattern) {
  GoGlob out;
  for (std::string_view rest = pattern; !rest.empty();) {
    const char c = rest[0];
    rest.remove_prefix(1);
    if (c == '*') {
      // "**" would cross directories in a profile.
      if (!out.glob.ends_with('*') || out.glob.ends_with("\\*")) out.glob += '*';
    } else if (c == '?') {
      out.glob += '?';
    } else if (c == '[') {
      if (!TakeClass(rest, out)) return out;
    } else if (c == '\\') {
      if (rest.empty()) {
        out.valid = false;
        return out;
      }
      out.glob += Escaped(rest[0]);
      rest.remove_prefix(1);
    } else {
      out.glob += Escaped(c);
    }
  }
  return out;
}

std::string AnyCase(std::string_view text) {
  std::string glob;
  for (const char c : text) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (lower >= 'a' && lower <= 'z') {
      glob += {'[', lower, static_cast<char>(lower - 32), ']'};
    } else {
      glob += Escaped(c);
    }
  }
  return glob;
}

Directories TranslateDirectory(std::string_view pattern) {
  Directories out;
  if (!pattern.starts_with('/')) return out;  // a working directory begins with a slash
  const auto add = [&out](std::string glob) {
    if (std::find(out.globs.begin(), out.globs.end(), glob) == out.globs.end()) {
      out.globs.push_back(std::move(glob));
    }
  };
  if (pattern.ends_with("/*")) {
    const std::string below = policy::EscapeGlob(pattern.substr(0, pattern.size() - 2));
    if (!below.empty()) add(below);
    add(below + "/**");
  } else if (pattern == "/" || !pattern.ends_with('/')) {
    add(policy::EscapeGlob(pattern));
  }
  GoGlob glob = TranslateGlob(pattern);
  if (!glob.valid || !policy::HasGlobCharacters(pattern)) return out;
  out.expressible = glob.expressible;
  // A profile's `*` may be nothing, and a directory is also tried with a slash behind it.
  std::string whole;
  for (std::string_view rest = glob.glob; !rest.empty();) {
    const std::size_t end = std::min(rest.find('/', 1), rest.size());
    whole += rest.substr(0, end) == "/*" ? std::string("/?*") : std::string(rest.substr(0, end));
    rest.remove_prefix(end);
  }
  if (whole.find("//") == std::string::npos && !whole.ends_with('/')) add(whole);
  return out;
}

std::optional<std::vector<std::vector<std::string>>> TranslateArgument(std::string_view text) {
  const std::vector<std::string_view> parts = SplitAtSpaces(text);
  const std::size_t spaces = parts.size() - 1;
  if (spaces > kMostSpaces) return std::nullopt;
  std::vector<std::vector<std::string>> lists;
  for (std::size_t between = 0; between < (std::size_t{1} << spaces); ++between) {
    // Bit i: space i lies between two arguments.
    std::vector<std::string> words = {std::string(parts[0])};
    for (std::size_t i = 0; i < spaces; ++i) {
      if ((between >> i & 1) != 0) {
        words.emplace_back(parts[i + 1]);
      } else {
        words.back().append(" ").append(parts[i + 1]);
      }
    }
    std::vector<std::string> list = {"**"};
    for (std::size_t i = 0; i < words.size(); ++i) {
      const bool first = i == 0;
      const bool last = i + 1 == words.size();
      std::string glob = first ? "*" : "";
      glob += first ? policy::EscapeGlob(words[i]) : Literal(words[i]);
      if (last && !glob.ends_with("*")) glob += "*";
      if (last && glob.ends_with("\\*")) glob += "*";
      list.push_back(std::move(glob));
    }
    list.emplace_back("**");
    lists.push_back(std::move(list));
  }
  return lists;
}

}  // namespace cellrun::import
