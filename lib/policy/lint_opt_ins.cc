// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "lib/policy/lint_checks.h"
#include "lib/policy/syscalls.h"

namespace cellrun::policy {
namespace {

// The rule that opens it, for the finding's place.
const SyscallRule* RuleThatAllows(const Profile& profile, std::string_view opt_in) {
  for (const SyscallRule& rule : profile.syscall_rules) {
    const bool named = std::find(rule.names.begin(), rule.names.end(), opt_in) != rule.names.end();
    if (named && rule.then == Action::kAllow) return &rule;
  }
  return nullptr;
}

}  // namespace

// What a profile promises elsewhere and `userns` takes back.
void LintOptIns(const LintContext& context) {
  const Profile& profile = context.profile;
  if (!AllowsOptIn(profile, "userns")) return;
  const SyscallRule* rule = RuleThatAllows(profile, "userns");
  const Position at = rule != nullptr ? rule->at : Position{};
  context.Add("CR-L014", Severity::kWarning, at,
              "`userns` makes the cell root of namespaces of its own: much more of the kernel can "
              "be reached, Landlock is off and `/proc` is whole",
              "keep it to a profile for the one program that needs a sandbox of its own");
  if (!profile.filesystem.noexec.empty()) {
    context.Add("CR-L014", Severity::kWarning, profile.filesystem.noexec.front().at,
                "with `userns` the cell can mount a file system that `noexec` does not cover",
                "do not rely on `noexec` here");
  }
  for (const CommandRule& command : profile.command_rules) {
    if (command.when.cwd.empty() || command.then != Action::kAllow) continue;
    context.Add("CR-L014", Severity::kWarning, command.at,
                "with `userns` a program's directory can be changed after its start: `cwd` in " +
                    NameOf(command) + " holds for the start alone",
                "name what may be done, not where");
  }
}

}  // namespace cellrun::policy
