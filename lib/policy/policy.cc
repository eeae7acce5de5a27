// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/policy.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "lib/policy/compiled_policy.h"

namespace cellrun::policy {
namespace {

constexpr std::size_t kMaxProblems = 20;

bool IsHash(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

CompiledRule::Role RoleOf(const CommandRule& rule) {
  // The calling program is easily made to look like another (any task may exec first), so what
  // depends on it can only make a verdict stricter.
  if (!rule.when.parent.empty()) return CompiledRule::Role::kMinimum;
  if (rule.layer == Layer::kFloor || rule.layer == Layer::kWorkspace) {
    return CompiledRule::Role::kLayerMinimum;
  }
  if (rule.layer == Layer::kRemembered && rule.then == Action::kAllow) {
    return CompiledRule::Role::kAnswer;
  }
  return CompiledRule::Role::kFinal;
}

RuleReference ReferenceTo(const CommandRule& rule) {
  return {.name = rule.name, .layer = rule.layer, .at = rule.at};
}

// A rule that was written without anonymous images in mind does not let one run.
bool LetsRun(const CompiledRule& rule, const ExecImage& image) {
  return !image.anonymous || rule.source->then == Action::kDeny || rule.when.anonymous() == true;
}

void AddChecks(const std::vector<std::string_view>& more, std::vector<std::string_view>& checks) {
  for (const std::string_view check : more) {
    if (std::find(checks.begin(), checks.end(), check) == checks.end()) checks.push_back(check);
  }
}

std::optional<Problem> FindProblem(const CommandRule& rule) {
  if (rule.then == Action::kAllow && !rule.when.parent.empty()) {
    return Problem{
        rule.at, "'parent' in a rule that allows",
        "a rule that asks or denies: the calling program can be chosen by the cell, so it "
        "never loosens a verdict",
        ""};
  }
  if (!rule.expires.empty() && !ParseExpiry(rule.expires)) {
    return Problem{rule.at, "'expires: " + rule.expires + "' is no date",
                   "YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ", ""};
  }
  if (!rule.check.empty() && rule.check.find_first_not_of(' ') == std::string::npos) {
    return Problem{rule.at, "'check' names no program", "a program and its arguments", ""};
  }
  const auto bad_hash = std::find_if_not(rule.when.hash.begin(), rule.when.hash.end(), IsHash);
  if (bad_hash != rule.when.hash.end()) {
    return Problem{rule.at, "'" + *bad_hash + "' is no hash", "sha256: and 64 hex digits", ""};
  }
  return std::nullopt;
}

}  // namespace

Checked<std::shared_ptr<const Policy>> Policy::Compile(Profile profile, const Places& places,
                                                       const FileLookup& lookup, Time now) {
  auto policy = std::make_shared<const CompiledPolicy>(std::move(profile), places, lookup, now);
  if (!policy->problems().empty()) return policy->problems();
  return std::shared_ptr<const Policy>(std::move(policy));
}

CompiledPolicy::CompiledPolicy(Profile profile, const Places& places, const FileLookup& lookup,
                               Time now)
    : profile_(std::move(profile)), ahead_(now - std::chrono::system_clock::now()) {
  ProgramBinder binder(profile_, places, lookup);
  rules_.reserve(profile_.command_rules.size());
  for (const CommandRule& rule : profile_.command_rules) {
    if (problems_.size() >= kMaxProblems) return;
    CompileRule(rule, places, binder, now);
  }
  if (!problems_.empty()) return;
  for (std::uint32_t i = 0; i < rules_.size(); ++i) {
    const CompiledWhen& when = rules_[i].when;
    if (rules_[i].expired) continue;
    if (when.given(Condition::kExe)) {
      index_.Add(i, &when.exe());
    } else {
      index_.Add(i, when.given(Condition::kScript) ? &when.script() : nullptr);
    }
  }
}

void CompiledPolicy::CompileRule(const CommandRule& rule, const Places& places,
                                 ProgramBinder& binder, Time now) {
  if (std::optional<Problem> problem = FindProblem(rule)) {
    problems_.push_back(std::move(*problem));
    return;
  }
  auto when = CompiledWhen::Compile(rule.when, rule.then != Action::kAllow, places, binder);
  if (!when.ok()) {
    const Error& error = when.error();
    problems_.push_back({rule.at, error.context() + ": " + error.operation(), "", ""});
    return;
  }
  CompiledRule compiled{.source = &rule,
                        .when = std::move(when).value(),
                        .role = RoleOf(rule),
                        .expires = ParseExpiry(rule.expires)};
  compiled.expired = compiled.expires && *compiled.expires <= now;
  some_expire_ = some_expire_ || (compiled.expires && !compiled.expired);
  rules_.push_back(std::move(compiled));
}

Verdict CompiledPolicy::Decide(const ExecRequest& request) const {
  try {
    return JudgeChain(request);
  } catch (...) {
    Verdict verdict;
    verdict.message = "the request could not be judged";
    return verdict;
  }
}

// Each link is judged by itself and the strictest counts; of equals the one nearest to the program
// that was named, whose rule also says how it is run.
Verdict CompiledPolicy::JudgeChain(const ExecRequest& request) const {
  if (request.images.empty()) {
    Verdict verdict;
    verdict.message = "the request names no image";
    return verdict;
  }
  const Verdict named = JudgeLink({.request = request, .image = 0});
  Verdict strictest = named;
  for (std::size_t i = 1; i < request.images.size(); ++i) {
    Verdict verdict = JudgeLink({.request = request, .image = i});
    std::vector<std::string_view> checks = strictest.checks;
    AddChecks(verdict.checks, checks);
    std::vector<const CommandRule*> answers = std::move(strictest.answers);
    answers.insert(answers.end(), verdict.answers.begin(), verdict.answers.end());
    if (verdict.action > strictest.action) {
      strictest = std::move(verdict);
      strictest.image = i;
      strictest.strategy = named.strategy;
      strictest.rewrite = named.rewrite;
      strictest.audit_sync = strictest.audit_sync || named.audit_sync;
    }
    strictest.checks = std::move(checks);
    strictest.answers = std::move(answers);
  }
  if (strictest.action == Action::kDeny) {
    strictest.rewrite = nullptr;
    strictest.checks.clear();
  }
  strictest.audit =
      profile_.audit_commands.value == AuditLevel::kAll || strictest.audit_sync ||
      (profile_.audit_commands.value == AuditLevel::kDenied && strictest.action != Action::kAllow);
  return strictest;
}

std::optional<Time> CompiledPolicy::Now() const {
  if (!some_expire_) return std::nullopt;
  return std::chrono::system_clock::now() + ahead_;
}

Judgement CompiledPolicy::TryRules(const Link& link) const {
  const std::optional<Time> now = Now();
  Judgement judgement;
  bool floor_done = false, workspace_done = false;
  RuleIndex::Candidates candidates(index_, link.program());
  while (const std::optional<std::uint32_t> index = candidates.Next()) {
    const CompiledRule& rule = rules_[*index];
    bool& layer_done = rule.source->layer == Layer::kFloor ? floor_done : workspace_done;
    if (rule.role == CompiledRule::Role::kLayerMinimum && layer_done) continue;
    if (rule.IsPast(now) || !rule.when.Matches(link)) continue;
    if (rule.role == CompiledRule::Role::kAnswer) {
      if (!judgement.answer && LetsRun(rule, link.program())) judgement.answer = &rule;
      continue;
    }
    if (rule.role == CompiledRule::Role::kFinal) {
      if (!LetsRun(rule, link.program())) continue;
      judgement.final = &rule;
      return judgement;
    }
    if (rule.role == CompiledRule::Role::kLayerMinimum) layer_done = true;
    const Action least = judgement.minimum ? judgement.minimum->source->then : Action::kAllow;
    if (rule.source->then > least) judgement.minimum = &rule;
    if (rule.source->then == Action::kDeny) return judgement;
  }
  return judgement;
}

// A person answered what asks: the floor and the workspace ask each time, a denial is no question,
// and what the asking rule says of how the command runs stays as it is.
Verdict CompiledPolicy::JudgeLink(const Link& link) const {
  const Judgement judgement = TryRules(link);
  Verdict verdict = WithoutAnswer(judgement, link);
  const Layer layer = verdict.rule.layer;
  const bool each_time = layer == Layer::kFloor || layer == Layer::kWorkspace;
  if (verdict.action == Action::kAsk && judgement.answer && !each_time && link.request.answers) {
    verdict.action = Action::kAllow;
    verdict.answers = {judgement.answer->source};
    verdict.rule = ReferenceTo(*judgement.answer->source);
    verdict.reason = judgement.answer->source->reason;
  }
  return verdict;
}

Verdict CompiledPolicy::WithoutAnswer(const Judgement& judgement, const Link& link) const {
  const CompiledRule* minimum = judgement.minimum;
  if (minimum && minimum->source->then == Action::kDeny) return FromRule(*minimum);
  Verdict verdict = judgement.final ? FromRule(*judgement.final) : WithoutRule(link);
  // Of equals the minimum is named: it holds whatever the other rule says.
  if (!minimum || minimum->source->then < verdict.action) return verdict;
  Verdict raised = FromRule(*minimum);
  if (!raised.rewrite) raised.rewrite = verdict.rewrite;
  if (raised.strategy == Strategy::kInPlace) raised.strategy = verdict.strategy;
  raised.audit_sync = raised.audit_sync || verdict.audit_sync;
  AddChecks(verdict.checks, raised.checks);
  return raised;
}

Verdict CompiledPolicy::WithoutRule(const Link& link) const {
  Verdict verdict;
  if (link.program().anonymous) {
    verdict.rule.name = "anonymous";
    verdict.message =
        "the image is in memory, deleted or outside the cell's tree, and no rule with "
        "`anonymous: true` lets it run";
    return verdict;
  }
  verdict.action = profile_.command_default.value;
  verdict.rule = {.name = "default",
                  .layer = profile_.command_default.layer,
                  .at = profile_.command_default.at};
  return verdict;
}

Verdict CompiledPolicy::FromRule(const CompiledRule& rule) const {
  const CommandRule& source = *rule.source;
  Verdict verdict;
  verdict.action = source.then;
  verdict.strategy = source.run;
  verdict.rule = ReferenceTo(source);
  verdict.from = &source;
  verdict.reason = source.reason;
  verdict.message = source.message;
  verdict.suggest = source.suggest;
  verdict.error = source.then == Action::kDeny ? source.error : 0;
  verdict.rewrite =
      source.rewrite.empty() || source.then == Action::kDeny ? nullptr : &source.rewrite;
  verdict.audit_sync = source.audit_sync;
  if (!source.check.empty()) verdict.checks = {source.check};
  return verdict;
}

bool CompiledPolicy::NeedsHash(const ExecImage& image) const {
  RuleIndex::Candidates candidates(index_, image);
  while (const std::optional<std::uint32_t> index = candidates.Next()) {
    const CompiledWhen& when = rules_[*index].when;
    if (when.given(Condition::kHash) && when.CouldBe(image)) return true;
  }
  return false;
}

std::optional<Action> CompiledPolicy::Uniform() const {
  // Until a rule matches everything, each one that could match must say the same.
  std::optional<Action> action;
  bool named = false, anonymous = false;
  for (const CompiledRule& rule : rules_) {
    if (rule.expired) continue;
    if (rule.expires) return std::nullopt;
    const CommandRule& source = *rule.source;
    if (action.value_or(source.then) != source.then || !source.rewrite.empty() ||
        source.run != Strategy::kInPlace || source.error != 0 || !source.check.empty()) {
      return std::nullopt;
    }
    action = source.then;
    if (rule.role != CompiledRule::Role::kFinal) continue;
    named = named || rule.when.EveryPath();
    anonymous = anonymous || rule.when.OnlyAnonymous() ||
                (rule.when.EveryPath() && source.then == Action::kDeny);
    if (named && anonymous) return action;
  }
  // What is left is decided by the default, and anonymous images are denied.
  if (!named && action.value_or(profile_.command_default.value) != profile_.command_default.value) {
    return std::nullopt;
  }
  action = action.value_or(profile_.command_default.value);
  return anonymous || action == Action::kDeny ? action : std::nullopt;
}

std::optional<Time> CompiledPolicy::NextExpiry() const {
  std::optional<Time> next;
  for (const CompiledRule& rule : rules_) {
    if (rule.expired || !rule.expires) continue;
    if (!next || *rule.expires < *next) next = rule.expires;
  }
  return next;
}

}  // namespace cellrun::policy
