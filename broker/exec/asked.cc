// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/asked.h"

#include <utility>

#include "broker/exec/environment_changes.h"
#include "broker/exec/hash.h"
#include "broker/exec/rewrite.h"
#include "broker/exec/task.h"

namespace cellrun::exec {
namespace {

constexpr std::size_t kMaxParents = 16;

void FillWho(const notify::CellFacts& facts, const AskInput& input, approvals::Ask& ask) {
  ask.cell_id = facts.cell_id;
  ask.cell_name = facts.cell_name;
  ask.profile = facts.profile_name;
  ask.workspace = facts.workspace;
  ask.pid = input.pid;
  // The caller is what still runs in the process; it becomes the command.
  const Result<std::string> caller = ReadExecutablePath(input.pid);
  if (caller.ok()) ask.parents.push_back(*caller);
  for (std::string& parent : ReadParents(input.pid, facts.init_pid, kMaxParents)) {
    ask.parents.push_back(std::move(parent));
  }
  ask.cwd = input.request.cwd;
}

void FillWhy(const AskInput& input, approvals::Ask& ask) {
  const policy::Profile& profile = input.policy.profile();
  const policy::CommandRule* rule = input.verdict.from;
  ask.rule = input.verdict.rule;
  ask.reason = input.verdict.reason;
  ask.timeout = profile.approval_timeout.value;
  if (rule != nullptr && rule->timeout.has_value()) ask.timeout = *rule->timeout;
  ask.on_timeout = profile.approval_on_timeout.value;
  ask.max_pending = profile.approvals_pending.value;
  if (rule != nullptr) ask.approvers = rule->approvers;
  ask.rememberable =
      ask.rule.layer != policy::Layer::kFloor && ask.rule.layer != policy::Layer::kWorkspace;
}

// What the kernel will be asked to run, and what it must find.
Result<void> Seal(const AskInput& input, AskedExec& asked) {
  Sealed& sealed = asked.sealed;
  const std::vector<policy::ExecImage>& images = input.request.images;
  if (images[0].anonymous) return Error(EACCES, "", "its image has no name that could be approved");
  asked.original_program =
      input.call_names_file ? input.request.raw_path : std::string(images[0].path);
  sealed.program = asked.original_program;
  sealed.argv = input.original_argv;
  sealed.env_digest = input.env_digest;
  sealed.cwd = input.request.cwd;
  sealed.cwd_id =
      TRY(ReadWorkingDirectoryId(input.pid).With("its working directory cannot be read"));
  sealed.rule = input.verdict.rule;
  sealed.refusal = std::make_shared<Refusal>();
  for (const File& file : input.chain.files) {
    sealed.images.push_back({.version = FileVersion::Of(file.facts), .hash = ""});
  }
  return {};
}

Result<void> Rewrite(const AskInput& input, AskedExec& asked) {
  const policy::Rewrite* rewrite = input.verdict.rewrite;
  if (rewrite == nullptr || rewrite->empty()) return {};
  const bool by_name = input.chain.final_image + 1 == input.request.images.size() &&
                       input.original_argv == input.request.argv;
  if (!by_name) return Error(EACCES, "", "its arguments cannot be rewritten");
  asked.environment = input.request.env;
  const Result<void> applied = ApplyRewrite(*rewrite, &asked.sealed.argv, &asked.environment);
  if (!applied.ok()) return Error(EACCES, "", "its arguments cannot be rewritten");
  asked.own_environment = false;
  asked.sealed.env_digest = TRY(HashStrings(asked.environment));
  return {};
}

void FillWhat(const notify::CellFacts& facts, const AskInput& input, AskedExec& asked) {
  approvals::Ask& ask = asked.ask;
  const std::vector<policy::ExecImage>& images = input.request.images;
  ask.strategy = input.verdict.strategy;
  ask.program = images[0].path;
  for (std::size_t i = 0; i < images.size(); ++i) {
    if (i > 0) ask.chain.push_back(images[i].path);
    asked.writable.push_back(images[i].writable);
    ask.writable = ask.writable || images[i].writable;
  }
  ask.argv = asked.sealed.argv;
  if (ask.argv != input.original_argv) ask.original_argv = input.original_argv;
  ask.environment_digest = asked.sealed.env_digest;
  const std::vector<std::string>& environment =
      asked.own_environment ? input.request.env : asked.environment;
  ask.environment = ChangesThatMatter(facts.environment, environment);
}

}  // namespace

Result<std::shared_ptr<AskedExec>> PrepareAsk(const notify::CellFacts& facts, AskInput input) {
  auto asked = std::make_shared<AskedExec>();
  TRY(Seal(input, *asked));
  TRY(Rewrite(input, *asked));
  FillWho(facts, input, asked->ask);
  FillWhat(facts, input, *asked);
  FillWhy(input, asked->ask);
  asked->files = std::move(input.chain.files);
  return asked;
}

}  // namespace cellrun::exec
