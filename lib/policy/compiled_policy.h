// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/policy/condition.h"
#include "lib/policy/expiry.h"
#include "lib/policy/policy.h"
#include "lib/policy/rule_index.h"

namespace cellrun::policy {

// A command rule made ready: its conditions, and what its match means for those after it.
struct CompiledRule {
  // kFinal: decides. kLayerMinimum: the first match of its layer (floor, workspace) raises the
  // verdict, what follows may only raise it further. kMinimum: raises it, whatever else matches.
  // kAnswer: a remembered approval: where what follows asks, it has been answered.
  enum class Role : std::uint8_t { kFinal, kLayerMinimum, kMinimum, kAnswer };

  const CommandRule* source = nullptr;  // in the policy's profile
  CompiledWhen when;
  Role role = Role::kFinal;
  std::optional<Time> expires;
  bool expired = false;  // when the policy was made

  [[nodiscard]] bool IsPast(const std::optional<Time>& now) const {
    return expired || (expires && now && *expires <= *now);
  }
};

// What the rules say about one link: the rule that decides, the rule that sets the least strict
// verdict possible, and the remembered approval, each of which may be missing.
struct Judgement {
  const CompiledRule* final = nullptr;
  const CompiledRule* minimum = nullptr;
  const CompiledRule* answer = nullptr;
};

class CompiledPolicy final : public Policy {
 public:
  // `profile` is moved in afterwards by nobody: rules point into it. `now` is what the clock that
  // `expires` is compared with shows at this moment; it goes on from there.
  CompiledPolicy(Profile profile, const Places& places, const FileLookup& lookup, Time now);

  [[nodiscard]] const std::vector<Problem>& problems() const { return problems_; }

  [[nodiscard]] const Profile& profile() const override { return profile_; }
  [[nodiscard]] Verdict Decide(const ExecRequest& request) const override;
  [[nodiscard]] bool NeedsHash(const ExecImage& image) const override;
  [[nodiscard]] std::optional<Action> Uniform() const override;
  [[nodiscard]] std::vector<Trial> Explain(const ExecRequest& request) const override;
  [[nodiscard]] std::optional<Time> NextExpiry() const override;

 private:
  void CompileRule(const CommandRule& rule, const Places& places, ProgramBinder& binder, Time now);
  [[nodiscard]] Verdict JudgeChain(const ExecRequest& request) const;
  [[nodiscard]] Verdict JudgeLink(const Link& link) const;
  [[nodiscard]] Verdict WithoutAnswer(const Judgement& judgement, const Link& link) const;
  [[nodiscard]] Judgement TryRules(const Link& link) const;
  // Nothing where no rule expires: then no clock is read.
  [[nodiscard]] std::optional<Time> Now() const;
  [[nodiscard]] Verdict WithoutRule(const Link& link) const;
  [[nodiscard]] Verdict FromRule(const CompiledRule& rule) const;

  const Profile profile_;
  std::vector<CompiledRule> rules_;  // one for each of the profile's, in its order
  RuleIndex index_;
  Time::duration ahead_;  // of the system's clock
  bool some_expire_ = false;
  std::vector<Problem> problems_;
};

}  // namespace cellrun::policy
