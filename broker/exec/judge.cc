// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/judge.h"

#include <algorithm>
#include <utility>

#include "broker/exec/judge_case.h"

namespace cellrun::exec {
namespace {

template <typename Has>
bool AnyRule(const policy::Profile& profile, Has has) {
  return std::any_of(profile.command_rules.begin(), profile.command_rules.end(),
                     [&](const policy::CommandRule& rule) { return has(rule.when); });
}

}  // namespace

Judge::Judge(const notify::CellFacts& facts, const notify::Listener& listener, Resolver resolver,
             Tickets& tickets)
    : facts_(facts),
      listener_(listener),
      resolver_(std::move(resolver)),
      inspector_(facts.host_uid, facts.host_gid),
      tickets_(tickets) {
  ReplacePolicy(facts.policy);
}

Judgement Judge::Decide(const seccomp_notif& notification, notify::Lane& lane) {
  return Case(*this, notification, lane).Run();
}

void Judge::ReplacePolicy(std::shared_ptr<const policy::Policy> policy) {
  CHECK(policy != nullptr);
  auto view = std::make_shared<PolicyView>();
  const policy::Profile& profile = policy->profile();
  view->uses_terminal = AnyRule(profile, [](const auto& when) { return when.tty.has_value(); });
  view->uses_directory = AnyRule(profile, [](const auto& when) { return !when.cwd.empty(); });
  view->uses_parent = AnyRule(profile, [](const auto& when) { return !when.parent.empty(); });
  view->judges_nothing = policy->Uniform() == policy::Action::kAllow;
  view->policy = std::move(policy);
  const std::lock_guard lock(mutex_);
  view_ = std::move(view);
}

std::shared_ptr<const Judge::PolicyView> Judge::View() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

}  // namespace cellrun::exec
