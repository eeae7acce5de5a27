// SPDX-License-Identifier: Apache-2.0
// What the policy says of it, and what follows from that.
#include <fcntl.h>

#include <utility>

#include "broker/exec/asked.h"
#include "broker/exec/denial_text.h"
#include "broker/exec/hash.h"
#include "broker/exec/judge_case.h"
#include "broker/exec/rewrite.h"

namespace cellrun::exec {

// Whether what a hash was taken of is what runs: the image of the process is hashed again in its
// exec stop. A writable script or payload is opened again by name, and may be another one then.
bool Judge::Case::HashHolds(std::size_t image) const {
  return !out_.request.images[image].writable || image == chain_.final_image;
}

bool Judge::Case::HashImages() {
  for (std::size_t i = 0; i < out_.request.images.size(); ++i) {
    policy::ExecImage& image = out_.request.images[i];
    if (!view_->policy->NeedsHash(image)) continue;
    (void)lane_.EnsureReceiver();  // none: the others wait, and nothing is lost
    Result<std::string> hash = judge_.inspector_.Hash(chain_.files[i], lane_.stop_flag());
    if (!hash.ok()) return Refuse(EACCES, "its image cannot be hashed");
    image.hash = std::move(hash).value();
    if (i == 0) out_.record.image_hash = image.hash;
    if (i == chain_.final_image && image.writable) out_.image_hash = image.hash;
    hash_may_change_ = hash_may_change_ || !HashHolds(i);
  }
  return true;
}

// A remembered rule is for what was shown: the environment in which the command would run, and no
// variable that was not among it and would be shown now.
policy::Verdict Judge::Case::AskPolicy() {
  out_.request.answers = false;
  policy::Verdict verdict = AskRules();
  out_.request.answers = true;
  if (verdict.action != policy::Action::kAsk) return verdict;
  Result<std::vector<std::string>> shown =
      EnvironmentToRun(view_->policy->profile(), verdict, out_.request);
  if (!shown.ok()) return verdict;
  std::swap(out_.request.env, *shown);
  policy::Verdict answered = AskRules();
  const bool holds = answered.action == policy::Action::kAllow && !answered.answers.empty() &&
                     answered.strategy == verdict.strategy && answered.rewrite == verdict.rewrite &&
                     AnswersCover(judge_.facts_, answered, out_.request.env);
  std::swap(out_.request.env, *shown);
  return holds ? answered : verdict;
}

policy::Verdict Judge::Case::AskRules() {
  policy::Verdict verdict = view_->policy->Decide(out_.request);
  if (!hash_may_change_) return verdict;
  // With a hash that may be another one when it counts, no rule may be more lenient.
  policy::ExecRequest without = out_.request;
  for (std::size_t i = 0; i < without.images.size(); ++i) {
    if (!HashHolds(i)) without.images[i].hash.clear();
  }
  policy::Verdict strict = view_->policy->Decide(without);
  return strict.action > verdict.action ? strict : verdict;
}

void Judge::Case::Weigh() {
  out_.verdict = AskPolicy();
  if (!chain_.refused.empty()) {
    out_.verdict = {};
    out_.verdict.rule.name = "loader";
    out_.verdict.message = chain_.refused;
  }
  if (judge_.facts_.proposals != nullptr) proposal_ = judge_.facts_.proposals->Take(tid_);
  if (proposal_.has_value() && MayPropose()) {
    out_.verdict.action = policy::Action::kAsk;
    denied_by_rule_ = true;
  }
  const policy::Verdict& verdict = out_.verdict;
  out_.record.verdict = verdict.action;
  out_.record.strategy = verdict.strategy;
  out_.record.rule = verdict.rule;
  out_.record.sync = verdict.audit_sync;
  out_.record.reason = DenialReason(verdict);
  const bool floor_denies =
      verdict.action == policy::Action::kDeny && verdict.rule.layer == policy::Layer::kFloor;
  if (judge_.facts_.observe && !floor_denies) {
    Observe();
  } else if (!verdict.checks.empty()) {
    Check();
  } else if (verdict.action == policy::Action::kAsk && judge_.facts_.admit != nullptr &&
             !call_.check_only()) {
    Ask();
  } else if (verdict.action != policy::Action::kAllow) {
    Deny();
  } else {
    Allow();
  }
}

void Judge::Case::Observe() {
  out_.record.observed = policy::ActionName(out_.verdict.action);
  out_.record.verdict = policy::Action::kAllow;
  out_.verdict.action = policy::Action::kAllow;
  out_.verdict.rewrite = nullptr;
  out_.verdict.checks.clear();
  out_.verdict.strategy = policy::Strategy::kInPlace;
  Allow();
}

// What the floor or a workspace denies stays denied, and so does what no rule may allow.
bool Judge::Case::MayPropose() const {
  const policy::Verdict& verdict = out_.verdict;
  return verdict.action == policy::Action::kDeny && chain_.refused.empty() &&
         verdict.rule.layer != policy::Layer::kFloor &&
         verdict.rule.layer != policy::Layer::kWorkspace && judge_.facts_.admit != nullptr;
}

// Waits for a person, off this thread.
void Judge::Case::Ask() {
  if (!Prepare()) return;
  out_.record.reason = out_.verdict.reason;
  out_.record.image_hash.clear();
}

// Its process becomes the shim of a command that runs elsewhere.
void Judge::Case::RunElsewhere() {
  if (judge_.facts_.run_elsewhere == nullptr)
    return DenyBecause("it cannot be run outside the process that asked for it");
  if (Prepare()) out_.asked->allowed = true;
}

// Waits for external checkers, which may still deny it.
void Judge::Case::Check() {
  if (judge_.facts_.admit == nullptr || call_.check_only())
    return DenyBecause("nobody is there to run its checker");
  if (!Prepare()) return;
  exec::AskedExec& asked = *out_.asked;
  asked.allowed = out_.verdict.action == policy::Action::kAllow;
  asked.sealed.checked = true;
  asked.checks = {.commands = {out_.verdict.checks.begin(), out_.verdict.checks.end()},
                  .policy = view_->policy,
                  .rule = out_.verdict.from,
                  .request = out_.request};
  out_.record.reason = out_.verdict.reason;
  out_.record.image_hash.clear();
}

void Judge::Case::DenyBecause(std::string why) {
  out_.verdict.message = std::move(why);
  out_.record.verdict = policy::Action::kDeny;
  out_.record.reason = out_.verdict.message;
  Deny();
}

// False: it is denied.
bool Judge::Case::Prepare() {
  Result<std::shared_ptr<AskedExec>> asked = PrepareAsk(
      judge_.facts_,
      {.call_names_file = call_.directory == AT_FDCWD || out_.request.raw_path.starts_with('/'),
       .pid = tid_,
       .original_argv = out_.record.argv,
       .env_digest = out_.record.env_digest,
       .policy = *view_->policy,
       .verdict = out_.verdict,
       .request = out_.request,
       .final_argv = out_.final_argv,
       .resolver = resolver(),
       .chain = chain_});
  if (!asked.ok()) {
    out_.verdict.message = asked.error().context();
    if (out_.record.verdict == policy::Action::kAllow) out_.record.verdict = policy::Action::kDeny;
    out_.record.reason = out_.verdict.message;
    Deny();
    return false;
  }
  out_.asked = std::move(*asked);
  if (proposal_.has_value()) {
    out_.asked->ask.said_by_cell = *proposal_;
    out_.asked->ask.attended = true;  // a person is what it asks for
  }
  out_.asked->denied_by_rule = denied_by_rule_;
  if (denied_by_rule_) out_.asked->ask.rememberable = false;
  out_.answer = Judgement::Answer::kAsk;
  return true;
}

void Judge::Case::Deny() {
  out_.record.result = call_.check_only() ? "check" : "denied";
  out_.error = out_.verdict.error != 0 ? out_.verdict.error : EACCES;
  const bool explain = out_.verdict.error == 0 && !call_.check_only();
  out_.answer = explain ? Judgement::Answer::kExplain : Judgement::Answer::kRefuse;
  out_.explanation = DenialText(out_.request.raw_path, out_.record.argv, out_.verdict);
}

void Judge::Case::Allow() {
  if (call_.check_only()) {
    out_.record.result = "check";
    out_.answer = Judgement::Answer::kAnswerCheck;
  } else if (out_.verdict.strategy != policy::Strategy::kInPlace) {
    RunElsewhere();
  } else if (out_.verdict.rewrite != nullptr && !out_.verdict.rewrite->empty()) {
    PrepareRewrite();
  } else {
    out_.answer = view_->judges_nothing ? Judgement::Answer::kRunFreely : Judgement::Answer::kRun;
  }
}

void Judge::Case::PrepareRewrite() {
  const std::vector<policy::ExecImage>& images = out_.request.images;
  const bool by_name = !images[0].anonymous && out_.final_argv.size() >= out_.request.argv.size() &&
                       chain_.final_image + 1 == images.size() &&
                       out_.record.argv == out_.request.argv;
  const Result<void> applied =
      by_name ? ApplyRewrite(*out_.verdict.rewrite, &out_.request.argv, &out_.request.env)
              : Result<void>(Error(EINVAL, "rewrite"));
  if (!applied.ok()) {
    (void)Refuse(EACCES, "its arguments cannot be rewritten");
    return;
  }
  const Result<std::string> digest = HashStrings(out_.request.env);
  if (!digest.ok()) {
    (void)Refuse(EACCES, "its environment cannot be hashed");
    return;
  }
  out_.sealed.program = images[0].path;
  for (const File& file : chain_.files) {
    out_.sealed.images.push_back({.version = FileVersion::Of(file.facts), .hash = ""});
  }
  out_.sealed.argv = out_.request.argv;
  out_.sealed.env_digest = *digest;
  out_.sealed.rule = out_.verdict.rule;
  out_.record.result = "rewritten";
  out_.answer = Judgement::Answer::kRewrite;
}

}  // namespace cellrun::exec
