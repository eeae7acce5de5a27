// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/lint.h"

#include <algorithm>
#include <tuple>

#include "lib/base/text.h"
#include "lib/policy/lint_checks.h"

namespace cellrun::policy {
namespace {

constexpr std::size_t kListed = 6;

// Each document by itself, nearest first, in its own order.
void Sort(const Profile& profile, std::vector<Finding>& findings) {
  const auto rank = [&](const Finding& finding) {
    const auto& documents = profile.documents;
    const auto at = std::find_if(documents.begin(), documents.end(), [&](const Position& document) {
      return document.file == finding.at.file;
    });
    return at - documents.begin();
  };
  std::stable_sort(findings.begin(), findings.end(), [&](const Finding& a, const Finding& b) {
    return std::tuple(rank(a), a.at.line, a.at.column) <
           std::tuple(rank(b), b.at.line, b.at.column);
  });
}

}  // namespace

const char* SeverityName(Severity severity) {
  switch (severity) {
    case Severity::kNote:
      return "note";
    case Severity::kWarning:
      return "warning";
    case Severity::kError:
      return "error";
  }
  return "error";
}

std::string Finding::ToString() const {
  const std::string place = text::Escape(at.ToString());
  std::string line = (place.empty() ? "" : place + ": ") + SeverityName(severity) + ": " + text +
                     " [" + code + "]";
  return suggest.empty() ? line : line + "; try: " + suggest;
}

std::string NameOf(const CommandRule& rule) {
  if (!rule.name.empty()) return "'" + text::Escape(rule.name) + "'";
  return "the rule at " + text::Escape(rule.at.ToString());
}

std::string ListOf(const std::vector<std::string>& names) {
  std::string list;
  for (std::size_t i = 0; i < std::min(names.size(), kListed); ++i) {
    list += (i == 0 ? "" : ", ") + text::Quote(names[i]);
  }
  if (names.size() > kListed) list += " and " + std::to_string(names.size() - kListed) + " more";
  return list;
}

std::vector<Finding> Lint(const Profile& profile, const LintFacts& facts) {
  std::vector<Finding> findings;
  const auto policy = Policy::Compile(profile, facts.places, facts.lookup, facts.now);
  if (!policy.ok()) {
    for (const Problem& problem : policy.problems()) {
      findings.push_back({"CR-L000", Severity::kError, problem.at, text::Escape(problem.what),
                          text::Escape(problem.expected)});
    }
    return findings;
  }
  ProgramBinder binder(profile, facts.places, facts.lookup);
  const WritableTree tree(profile, facts.places);
  const LintContext context{profile, facts, *policy.value(), binder, tree, findings};
  for (const auto check : {LintShadowing, LintCopies, LintPrograms, LintWritable, LintMasks,
                           LintGrants, LintDestinations, LintOptIns}) {
    check(context);
  }
  Sort(profile, findings);
  return findings;
}

}  // namespace cellrun::policy
