// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "lib/policy/expiry.h"
#include "lib/policy/lint_checks.h"
#include "lib/policy/rule_cover.h"
#include "lib/policy/rule_index.h"

namespace cellrun::policy {
namespace {

bool HasExpired(const CommandRule& rule, const LintFacts& facts) {
  const std::optional<Time> expires = ParseExpiry(rule.expires);
  return expires && *expires <= facts.now;
}

// A rule whose match is the end of the matter, so that those below it are not reached.
bool EndsMatching(const CommandRule& rule) {
  if (rule.then == Action::kDeny) return true;
  return rule.when.parent.empty() && rule.layer != Layer::kFloor && rule.layer != Layer::kWorkspace;
}

// Finds, for one rule and one of its programs, an earlier rule that takes all of it.
class EarlierRules {
 public:
  explicit EarlierRules(const LintContext& context)
      : context_(context), binder_(context.binder), cover_(context.binder) {}

  const CommandRule* Taking(const CommandRule& rule, std::uint32_t index,
                            const std::string* entry) {
    for (const ExecImage& image : Images(entry)) {
      RuleIndex::Candidates candidates(index_, image);
      while (const std::optional<std::uint32_t> earlier = candidates.Next()) {
        if (*earlier >= index) break;
        const CommandRule& wide = context_.profile.command_rules[*earlier];
        if (Takes(wide, rule, entry)) return &wide;
      }
    }
    return nullptr;
  }

  void Add(std::uint32_t index) {
    const CommandRule& rule = context_.profile.command_rules[index];
    const auto programs = binder_.Bind(RuleCover::Entries(rule.when));
    if (!programs.ok()) return;
    index_.Add(index, RuleCover::Entries(rule.when).empty() ? nullptr : &*programs);
    // Programs that this machine does not have are found by their names.
    ProgramSet names;
    for (const std::string& name : programs->unknown) names.paths.push_back(name);
    if (!names.paths.empty()) index_.Add(index, &names);
  }

 private:
  bool Takes(const CommandRule& wide, const CommandRule& rule, const std::string* entry) {
    // An anonymous image passes by what does not name it.
    const bool anonymous =
        rule.when.anonymous == true && wide.when.anonymous != true && wide.then != Action::kDeny;
    if (anonymous || !cover_.Conditions(wide.when, rule.when)) return false;
    return entry ? cover_.Program(wide.when, *entry) : RuleCover::Entries(wide.when).empty();
  }

  // The files that an entry means; for a pattern one that only general rules can match.
  std::vector<ExecImage> Images(const std::string* entry) {
    std::vector<ExecImage> images(1);
    if (!entry) return images;
    const auto programs = binder_.Bind({*entry});
    if (!programs.ok()) return images;
    if (!programs->unknown.empty()) images[0].path = programs->unknown[0];
    if (!programs->paths.empty()) images[0].path = programs->paths[0];
    if (!programs->ids.empty()) images[0].id = programs->ids[0];
    return images;
  }

  const LintContext& context_;
  ProgramBinder& binder_;
  RuleCover cover_;
  RuleIndex index_;
};

void ReportTaken(const LintContext& context, const CommandRule& rule, const CommandRule& by) {
  const std::string taken = NameOf(rule) + " never decides: " + NameOf(by) + " comes first and ";
  if (rule.at.file != by.at.file) {
    context.Add("CR-L001", Severity::kNote, rule.at,
                taken + "matches everything that it does, as a nearer document may", "");
  } else if (by.then < rule.then) {
    context.Add("CR-L002", Severity::kError, rule.at,
                taken + std::string(by.then == Action::kAllow ? "allows" : "asks about") +
                    " everything that it matches",
                "put the stricter rule first");
  } else {
    context.Add("CR-L001", Severity::kWarning, rule.at, taken + "matches everything that it does",
                "remove it, or put it first");
  }
}

void CheckShadow(const LintContext& context, const CommandRule& rule, std::uint32_t index,
                 EarlierRules& earlier) {
  const auto& entries = RuleCover::Entries(rule.when);
  if (entries.empty()) {
    if (const CommandRule* by = earlier.Taking(rule, index, nullptr)) {
      ReportTaken(context, rule, *by);
    }
    return;
  }
  std::vector<std::string> loosened;
  const CommandRule *first = nullptr, *loosening = nullptr;
  std::size_t taken = 0;
  for (const std::string& entry : entries) {
    const CommandRule* by = earlier.Taking(rule, index, &entry);
    if (!by) continue;
    ++taken;
    if (!first) first = by;
    if (by->then >= rule.then || by->at.file != rule.at.file) continue;
    if (!loosening) loosening = by;
    loosened.push_back(entry);
  }
  if (taken == entries.size()) {
    ReportTaken(context, rule, loosening ? *loosening : *first);
  } else if (loosening) {
    context.Add("CR-L002", Severity::kWarning, rule.at,
                NameOf(rule) + " does not hold for " + ListOf(loosened) + ": " +
                    NameOf(*loosening) + " comes first and is less strict",
                "put the stricter rule first");
  }
}

// Every image that the cell could have written is asked about or denied.
bool CoversWritable(const CommandRule& rule) {
  const When& when = rule.when;
  return rule.then != Action::kAllow && when.writable == true && when.exe.empty() &&
         when.script.empty() && when.interpreter.empty() && when.hash.empty() && !when.args &&
         when.args_any.empty() && when.args_none.empty() && when.cwd.empty() && when.user.empty() &&
         when.parent.empty() && when.env.empty() && !when.tty && when.anonymous != true;
}

constexpr std::array<std::string_view, 24> kInterpreters = {
    "bash",    "sh",   "dash", "zsh",  "ksh",  "fish",      "busybox", "python",
    "python3", "perl", "ruby", "node", "deno", "bun",       "php",     "lua",
    "tclsh",   "awk",  "gawk", "env",  "gdb",  "osascript", "pwsh",    "java"};

bool IsInterpreter(const std::string& name) {
  return std::find(kInterpreters.begin(), kInterpreters.end(), name) != kInterpreters.end();
}

bool OpenToAnyArgument(const When& when) {
  return !when.args && when.args_any.empty() && when.args_none.empty() && when.hash.empty();
}

}  // namespace

void LintShadowing(const LintContext& context) {
  EarlierRules earlier(context);
  const auto& rules = context.profile.command_rules;
  for (std::uint32_t i = 0; i < rules.size(); ++i) {
    if (HasExpired(rules[i], context.facts)) continue;
    CheckShadow(context, rules[i], i, earlier);
    if (EndsMatching(rules[i])) earlier.Add(i);
  }
}

void LintCopies(const LintContext& context) {
  const Profile& profile = context.profile;
  if (profile.command_default.value != Action::kAllow) return;
  if (std::any_of(profile.command_rules.begin(), profile.command_rules.end(), CoversWritable)) {
    return;
  }
  const auto& parts = context.tree.parts();
  if (std::none_of(parts.begin(), parts.end(),
                   [&](const auto& part) { return context.tree.CanWriteAndRun(part.first); })) {
    return;
  }
  const CommandRule* first = nullptr;
  std::vector<std::string> names;
  for (const CommandRule& rule : profile.command_rules) {
    if (rule.then != Action::kDeny || rule.when.exe.empty()) continue;
    if (!first) first = &rule;
    names.insert(names.end(), rule.when.exe.begin(), rule.when.exe.end());
  }
  if (!first) return;
  const bool own = !profile.documents.empty() && first->at.file == profile.documents.front().file;
  context.Add(
      "CR-L003", own ? Severity::kWarning : Severity::kNote, first->at,
      "under `default: allow` a copy of " + ListOf(names) + " under another name is not denied",
      "`default: deny` or `ask`, or a rule `{when: {writable: true}, then: ask}`");
}

void LintPrograms(const LintContext& context) {
  const bool strict_default = context.profile.command_default.value != Action::kAllow;
  for (const CommandRule& rule : context.profile.command_rules) {
    if (HasExpired(rule, context.facts)) {
      context.Add("CR-L008", Severity::kWarning, rule.at,
                  NameOf(rule) + " has expired and does nothing", "remove it");
      continue;
    }
    std::vector<std::string> unknown, open;
    for (const auto* entries : {&rule.when.exe, &rule.when.interpreter, &rule.when.parent}) {
      const auto programs = context.binder.Bind(*entries);
      if (programs.ok()) {
        unknown.insert(unknown.end(), programs->unknown.begin(), programs->unknown.end());
      }
    }
    std::copy_if(rule.when.exe.begin(), rule.when.exe.end(), std::back_inserter(open),
                 IsInterpreter);
    if (!unknown.empty()) {
      context.Add(
          "CR-L005", Severity::kNote, rule.at,
          NameOf(rule) + " does nothing for " + ListOf(unknown) + ": not in `path` on this machine",
          "");
    }
    if (strict_default && rule.then == Action::kAllow && !open.empty() &&
        OpenToAnyArgument(rule.when)) {
      context.Add("CR-L011", Severity::kNote, rule.at,
                  NameOf(rule) + " allows " + ListOf(open) +
                      " with any arguments: whatever they interpret runs without a rule of its own",
                  "");
    }
  }
}

}  // namespace cellrun::policy
