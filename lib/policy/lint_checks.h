// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "lib/policy/lint.h"
#include "lib/policy/program_set.h"
#include "lib/policy/writable_tree.h"

namespace cellrun::policy {

// What the checks of lint share.
struct LintContext {
  const Profile& profile;
  const LintFacts& facts;
  const Policy& policy;
  ProgramBinder& binder;
  const WritableTree& tree;
  std::vector<Finding>& findings;

  void Add(const char* code, Severity severity, const Position& at, std::string text,
           std::string suggest) const {
    findings.push_back({code, severity, at, std::move(text), std::move(suggest)});
  }
};

void LintShadowing(const LintContext& context);     // CR-L001, CR-L002
void LintCopies(const LintContext& context);        // CR-L003
void LintPrograms(const LintContext& context);      // CR-L005, CR-L008, CR-L011
void LintWritable(const LintContext& context);      // CR-L004, CR-L013
void LintMasks(const LintContext& context);         // CR-L006
void LintGrants(const LintContext& context);        // CR-L009, CR-L010, CR-L012
void LintDestinations(const LintContext& context);  // CR-L007
void LintOptIns(const LintContext& context);        // CR-L014

// "'no root'" or "the rule at p.yaml:7:5", escaped.
std::string NameOf(const CommandRule& rule);
// "a, b, c and 4 more", escaped.
std::string ListOf(const std::vector<std::string>& names);

}  // namespace cellrun::policy
