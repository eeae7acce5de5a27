// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/rule_cover.h"

#include <algorithm>

#include "lib/policy/pattern.h"

namespace cellrun::policy {
namespace {

using Texts = std::vector<std::string>;

// One pattern of a single text.
bool TextCovers(const std::string& wide, const std::string& narrow) {
  if (wide == narrow || wide == "*" || wide == "**") return true;
  const auto inner = Pattern::Compile(narrow, GlobKind::kArgument);
  const auto outer = Pattern::Compile(wide, GlobKind::kArgument);
  return inner.ok() && outer.ok() && inner->literal() && outer->Matches(*inner->literal());
}

bool SomeCovers(const Texts& wide, const std::string& narrow) {
  return std::any_of(wide.begin(), wide.end(),
                     [&](const std::string& text) { return TextCovers(text, narrow); });
}

// "Any of" conditions: not given, or wider in every text.
bool ListCovers(const Texts& wide, const Texts& narrow) {
  if (wide.empty()) return true;
  return !narrow.empty() && std::all_of(narrow.begin(), narrow.end(),
                                        [&](const auto& text) { return SomeCovers(wide, text); });
}

bool SameTexts(const Texts& wide, const Texts& narrow) {
  if (wide.empty()) return true;
  return !narrow.empty() && std::all_of(narrow.begin(), narrow.end(), [&](const auto& text) {
    return std::find(wide.begin(), wide.end(), text) != wide.end();
  });
}

template <typename T>
bool SameOrOpen(const std::optional<T>& wide, const std::optional<T>& narrow) {
  return !wide || wide == narrow;
}

bool EnvironmentCovers(const std::vector<EnvironmentCondition>& wide,
                       const std::vector<EnvironmentCondition>& narrow) {
  return std::all_of(wide.begin(), wide.end(), [&](const EnvironmentCondition& wanted) {
    return std::any_of(narrow.begin(), narrow.end(), [&](const EnvironmentCondition& given) {
      return given.name == wanted.name && given.glob == wanted.glob;
    });
  });
}

// "No argument is…" gets narrower with each text.
bool NoneCovers(const Texts& wide, const Texts& narrow) {
  return std::all_of(wide.begin(), wide.end(),
                     [&](const auto& text) { return SomeCovers(narrow, text); });
}

bool ArgumentsOf(const When& wide, const When& narrow) {
  if (wide.args && (!narrow.args || !ArgumentsCover(*wide.args, *narrow.args))) return false;
  return ListCovers(wide.args_any, narrow.args_any) && NoneCovers(wide.args_none, narrow.args_none);
}

}  // namespace

// Walks both lists at once: reached[j] says that what has been seen of `wide` covers the first j of
// `narrow`.
bool ArgumentsCover(const Texts& wide, const Texts& narrow) {
  std::vector<bool> reached(narrow.size() + 1, false);
  reached[0] = true;
  for (const std::string& outer : wide) {
    std::vector<bool> next(narrow.size() + 1, false);
    if (outer == "**") {
      const auto first = std::find(reached.begin(), reached.end(), true);
      std::fill(next.begin() + (first - reached.begin()), next.end(), true);
    } else {
      for (std::size_t j = 0; j < narrow.size(); ++j) {
        next[j + 1] = reached[j] && narrow[j] != "**" && TextCovers(outer, narrow[j]);
      }
    }
    reached = std::move(next);
  }
  return reached.back();
}

bool RuleCover::Conditions(const When& wide, const When& narrow) const {
  return SameTexts(wide.hash, narrow.hash) && SameTexts(wide.interpreter, narrow.interpreter) &&
         SameTexts(wide.parent, narrow.parent) && SameTexts(wide.cwd, narrow.cwd) &&
         SameTexts(wide.user, narrow.user) && ArgumentsOf(wide, narrow) &&
         SameOrOpen(wide.tty, narrow.tty) && SameOrOpen(wide.writable, narrow.writable) &&
         SameOrOpen(wide.anonymous, narrow.anonymous) && EnvironmentCovers(wide.env, narrow.env) &&
         (wide.script.empty() || !narrow.script.empty());
}

const Texts& RuleCover::Entries(const When& when) {
  return when.exe.empty() ? when.script : when.exe;
}

bool RuleCover::Program(const When& wide, const std::string& entry) const {
  const Texts& entries = Entries(wide);
  if (entries.empty()) return true;
  if (std::any_of(entries.begin(), entries.end(), [&](const std::string& text) {
        return text == entry || text == "**" || text == "/**";
      })) {
    return true;
  }
  const auto outer = binder_.Bind(entries);
  const auto inner = binder_.Bind({entry});
  if (!outer.ok() || !inner.ok() || !inner->literal() || inner->paths.empty()) return false;
  const bool every_path =
      std::all_of(inner->paths.begin(), inner->paths.end(),
                  [&](const std::string& path) { return outer->MatchesPath(path); });
  const bool every_file =
      !inner->ids.empty() && std::includes(outer->ids.begin(), outer->ids.end(), inner->ids.begin(),
                                           inner->ids.end(), Before);
  return every_path || every_file;
}

}  // namespace cellrun::policy
