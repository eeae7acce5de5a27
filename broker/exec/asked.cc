// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/asked.h"

#include <algorithm>
#include <utility>

#include "broker/exec/command_environment.h"
#include "broker/exec/environment_changes.h"
#include "broker/exec/hash.h"
#include "broker/exec/rewrite.h"
#include "broker/exec/task.h"
#include "lib/base/text.h"

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

void FillWhy(const notify::CellFacts& facts, const AskInput& input, approvals::Ask& ask) {
  const policy::Profile& profile = input.policy.profile();
  const policy::CommandRule* rule = input.verdict.from;
  const bool says_how_long =
      profile.approval_timeout.at.line != 0 || (rule != nullptr && rule->timeout.has_value());
  ask.attended = facts.attended || says_how_long;
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

// What runs elsewhere is given its environment by the broker, without what could make it run other
// code than what was approved; and is named by a path, which is not looked for in PATH.
Result<void> PrepareElsewhere(const AskInput& input, AskedExec& asked) {
  if (input.verdict.strategy == policy::Strategy::kInPlace) return {};
  const policy::CommandRule* rule = input.verdict.from;
  if (rule != nullptr && rule->ghost.has_value()) asked.ghost = *rule->ghost;
  asked.environment = CommandEnvironment(
      input.policy.profile(), asked.own_environment ? input.request.env : asked.environment);
  asked.own_environment = false;
  asked.sealed.env_digest = TRY(HashStrings(asked.environment));
  if (asked.sealed.program.find('/') == std::string::npos) asked.sealed.program.insert(0, "./");
  return {};
}

// What the rule itself changes is shown whatever it is called.
void AddRewritten(const AskInput& input, const std::vector<std::string>& environment,
                  std::vector<approvals::EnvironmentChange>& changes) {
  const auto has = [](const auto& list, const std::string& name) {
    return std::any_of(list.begin(), list.end(), [&](const auto& one) { return one.name == name; });
  };
  std::vector<std::string> argv = input.original_argv, rewritten = input.request.env;
  if (!ApplyRewrite(*input.verdict.rewrite, &argv, &rewritten).ok()) return;  // was not asked
  const auto by_rule = AllChanges(input.request.env, rewritten);
  for (approvals::EnvironmentChange& change : AllChanges(input.request.env, environment)) {
    if (has(by_rule, change.name) && !has(changes, change.name))
      changes.push_back(std::move(change));
  }
  std::stable_sort(changes.begin(), changes.end(),
                   [](const auto& a, const auto& b) { return a.name < b.name; });
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
  if (input.verdict.rewrite != nullptr) AddRewritten(input, environment, ask.environment);
}

// The program is a script that the cell can write: what was read once runs, by its interpreter.
Result<void> HoldScript(const AskInput& input, AskedExec& asked) {
  const std::vector<policy::ExecImage>& images = input.request.images;
  const Chain& chain = input.chain;
  for (std::size_t i = 1; i < chain.script_arguments.size(); ++i) {
    if (images[i].writable) {
      return Error(EACCES, "",
                   "its interpreter is a script that the cell can write, which cannot be approved");
    }
  }
  const std::vector<std::string>& argv = input.final_argv;
  const std::size_t path = chain.script_arguments[0];
  if (path >= argv.size()) return Error(EACCES, "", "its interpreter cannot be told");
  asked.script = {.file = std::move(asked.files[0]),
                  .is_image = true,
                  .argument = 0,
                  .interpreter = {argv.begin(), argv.begin() + static_cast<std::ptrdiff_t>(path)}};
  asked.sealed.program = argv[0];
  asked.files.erase(asked.files.begin());
  asked.writable.erase(asked.writable.begin());
  asked.sealed.images.erase(asked.sealed.images.begin());
  return {};
}

// The program is an interpreter, and an argument names a script that the cell can write.
void HoldOperand(const AskInput& input, AskedExec& asked) {
  const ScriptOperand operand = FindScriptOperand(asked.ask.program, asked.sealed.argv);
  asked.operand = operand.kind;
  if (operand.kind != ScriptOperand::Kind::kScript) return;
  const std::string& path = asked.sealed.argv[operand.argument];
  const Lookup lookup{.tid = input.pid, .path = path};
  Result<File> file = input.resolver.Resolve(lookup);
  if (!file.ok() || !S_ISREG(file->facts.st_mode)) return;
  asked.operand_found = true;
  // Where the task mounts what it likes, something else can lie under the copy's name.
  if (input.resolver.foreign()) {
    asked.content_may_change = true;
    return;
  }
  if (!file->on_writable_mount && !file->anonymous && input.resolver.IsStable(lookup, *file))
    return;
  asked.script = {
      .file = std::move(*file), .is_image = false, .argument = operand.argument, .interpreter = {}};
}

Result<void> HoldCode(const AskInput& input, AskedExec& asked) {
  const std::vector<policy::ExecImage>& images = input.request.images;
  const bool script = images[0].kind == policy::ExecImage::Kind::kScript;
  asked.image_writable = images[input.chain.final_image].writable;
  // What nobody is shown may have any content.
  const bool shown =
      input.verdict.action != policy::Action::kAllow || !input.verdict.checks.empty();
  if (shown && script && images[0].writable && !input.resolver.foreign())
    TRY(HoldScript(input, asked));
  if (shown && images.size() == 1) HoldOperand(input, asked);
  // The payload of a loader, which opens it again.
  for (std::size_t i = 0; i < images.size(); ++i) {
    const bool held = i == 0 && asked.script.has_value() && asked.script->is_image;
    asked.content_may_change =
        asked.content_may_change || (images[i].writable && !held && i != input.chain.final_image);
  }
  return {};
}

// A cell can have more asked at once than there may be descriptors: what needs no hash, or one that
// is known, need not be held open until somebody looks.
void CloseFiles(const notify::CellFacts& facts, AskedExec& asked) {
  const bool shows_script = asked.script.has_value() && asked.script->is_image;
  std::string hash;
  for (std::size_t i = 0; i < asked.files.size(); ++i) {
    if (asked.writable[i]) return;
    if (i > 0 || shows_script) continue;
    const auto known = facts.hashes == nullptr
                           ? std::nullopt
                           : facts.hashes->Find(FileVersion::Of(asked.files[i].facts));
    if (!known) return;
    hash = *known;
  }
  asked.ask.image_hash = std::move(hash);
  asked.files.clear();
}

}  // namespace

Result<std::vector<std::string>> EnvironmentToRun(const policy::Profile& profile,
                                                  const policy::Verdict& verdict,
                                                  const policy::ExecRequest& request) {
  std::vector<std::string> argv = request.argv, environment = request.env;
  if (verdict.rewrite != nullptr) {
    if (argv.empty()) return Error(EINVAL, "rewrite");
    TRY(ApplyRewrite(*verdict.rewrite, &argv, &environment));
  }
  if (verdict.strategy == policy::Strategy::kInPlace) return environment;
  return CommandEnvironment(profile, environment);
}

bool AnswersCover(const notify::CellFacts& facts, const policy::Verdict& verdict,
                  const std::vector<std::string>& environment) {
  const auto changes = ChangesThatMatter(facts.environment, environment);
  return std::all_of(
      verdict.answers.begin(), verdict.answers.end(), [&](const policy::CommandRule* answer) {
        const auto& named = answer->when.env;
        return std::all_of(changes.begin(), changes.end(), [&](const auto& change) {
          return std::any_of(named.begin(), named.end(),
                             [&](const auto& one) { return one.name == change.name; });
        });
      });
}

Result<std::vector<std::string>> ArgumentsToRun(const AskedExec& asked,
                                                const std::vector<std::string>& argv) {
  if (!asked.script.has_value() || asked.ask.script_copy.empty()) return argv;
  const AskedExec::Script& script = *asked.script;
  if (argv.empty()) return Error(EINVAL, "execve");
  std::vector<std::string> run;
  if (script.is_image) {
    run = script.interpreter;
    run.push_back(asked.ask.script_copy);
    run.insert(run.end(), argv.begin() + 1, argv.end());
    return run;
  }
  const bool same =
      argv.size() > script.argument &&
      std::equal(argv.begin() + 1, argv.begin() + static_cast<std::ptrdiff_t>(script.argument) + 1,
                 asked.ask.argv.begin() + 1);
  if (!same) return Error(EINVAL, "execve");
  run = argv;
  run[script.argument] = asked.ask.script_copy;
  return run;
}

Result<void> ReplaceArguments(AskedExec& asked, std::vector<std::string> argv) {
  const auto refuse = [](const char* why) { return Error(EINVAL, "", why); };
  approvals::Ask& ask = asked.ask;
  if (argv.empty() || argv[0] != ask.argv[0]) return refuse("it changes the program's name");
  const auto is_text = [](const std::string& argument) {
    return text::IsUtf8(argument) && argument.find('\0') == std::string::npos;
  };
  if (!std::all_of(ask.argv.begin(), ask.argv.end(), is_text) ||
      !std::all_of(argv.begin(), argv.end(), is_text))
    return refuse("arguments that are no text cannot be changed");
  if (!ArgumentsToRun(asked, argv).ok()) return refuse("it changes the name of the script");
  if (!asked.script.has_value() || !asked.script->is_image) {
    const ScriptOperand before = FindScriptOperand(ask.program, ask.argv);
    const ScriptOperand after = FindScriptOperand(ask.program, argv);
    if (before.kind != after.kind || before.argument != after.argument)
      return refuse("it changes where the interpreter's code comes from");
  }
  if (ask.original_argv.empty()) ask.original_argv = ask.argv;
  ask.argv = asked.sealed.argv = std::move(argv);
  return {};
}

Result<bool> JudgeReplaced(const AskedExec& asked) {
  const AskedExec::Checks& checks = *asked.checks;
  policy::ExecRequest request = checks.request;
  const std::size_t tail = request.argv.empty() ? 0 : request.argv.size() - 1;
  for (policy::ExecImage& image : request.images) {
    if (image.argv.empty()) continue;
    const bool known =
        image.argv.size() > tail &&
        std::equal(request.argv.end() - static_cast<std::ptrdiff_t>(tail), request.argv.end(),
                   image.argv.end() - static_cast<std::ptrdiff_t>(tail));
    if (!known) return Error(EACCES, "", "its arguments cannot be judged again");
    image.argv.resize(image.argv.size() - tail);
    image.argv.insert(image.argv.end(), asked.ask.argv.begin() + 1, asked.ask.argv.end());
  }
  request.argv = asked.ask.argv;
  const policy::Verdict verdict = checks.policy->Decide(request);
  if (verdict.action == policy::Action::kDeny)
    return Error(EACCES, "", "what it was changed to is denied");
  const bool own_rewrite = checks.rule != nullptr && !checks.rule->rewrite.empty();
  return verdict.action == policy::Action::kAsk || verdict.from != checks.rule || own_rewrite;
}

Result<std::shared_ptr<AskedExec>> PrepareAsk(const notify::CellFacts& facts, AskInput input) {
  auto asked = std::make_shared<AskedExec>();
  TRY(Seal(input, *asked));
  TRY(Rewrite(input, *asked));
  TRY(PrepareElsewhere(input, *asked));
  FillWho(facts, input, asked->ask);
  FillWhat(facts, input, *asked);
  FillWhy(facts, input, asked->ask);
  asked->files = std::move(input.chain.files);
  TRY(HoldCode(input, *asked));
  CloseFiles(facts, *asked);
  return asked;
}

}  // namespace cellrun::exec
