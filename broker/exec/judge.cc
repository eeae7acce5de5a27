// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/judge.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <utility>

#include "broker/exec/asked.h"
#include "broker/exec/denial_text.h"
#include "broker/exec/hash.h"
#include "broker/exec/rewrite.h"
#include "broker/exec/task.h"
#include "broker/notify/remote_memory.h"
#include "lib/sys/file.h"
#include "lib/sys/uapi.h"

namespace cellrun::exec {
namespace {

constexpr unsigned kKnownFlags =
    AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | static_cast<unsigned>(uapi::kAtExecveCheck);

// What the kernel calls the program of an execveat from a descriptor (alloc_bprm).
std::string KernelName(const ExecCall& call, const std::string& path) {
  if (call.directory == AT_FDCWD || path.starts_with('/')) return path;
  std::string name = "/dev/fd/" + std::to_string(call.directory);
  if (!path.empty()) name += "/" + path;
  return name;
}

template <typename Has>
bool AnyRule(const policy::Profile& profile, Has has) {
  return std::any_of(profile.command_rules.begin(), profile.command_rules.end(),
                     [&](const policy::CommandRule& rule) { return has(rule.when); });
}

std::uint32_t ImageBits(const std::vector<policy::ExecImage>& images,
                        bool (*has)(const policy::ExecImage&)) {
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < images.size() && i < 32; ++i) {
    if (has(images[i])) bits |= 1U << i;
  }
  return bits;
}

}  // namespace

bool ExecCall::check_only() const {
  return (flags & static_cast<unsigned>(uapi::kAtExecveCheck)) != 0;
}

Result<ExecCall> ExecCall::Of(const seccomp_data& data) {
  if (data.nr == SYS_execve) {
    return ExecCall{.path = data.args[0], .argv = data.args[1], .env = data.args[2]};
  }
  const ExecCall call{.directory = static_cast<int>(data.args[0]),
                      .path = data.args[1],
                      .argv = data.args[2],
                      .env = data.args[3],
                      .flags = static_cast<unsigned>(data.args[4])};
  if ((call.flags & ~kKnownFlags) != 0) return Error(EINVAL, "execveat");
  return call;
}

// One notification on its way to a Judgement. Each step returns whether there is more to find out.
class Judge::Case {
 public:
  Case(Judge& judge, const seccomp_notif& notification, notify::Lane& lane)
      : judge_(judge),
        view_(judge.View()),
        tid_(static_cast<pid_t>(notification.pid)),
        data_(notification.data),
        lane_(lane),
        memory_(judge.listener_, notification, lane.memory()) {
    out_.policy = view_->policy;
  }

  Judgement Run() {
    StartRecord();
    out_.ticket = judge_.tickets_.TakeExec(tid_);
    if (ReadCall() && ReadPath() && ChooseView() && Find() && ReadArguments() &&
        ReadSurroundings() && UnwrapAll()) {
      FillRequest();
      if (out_.ticket.has_value()) {
        MatchTicket();
      } else if (HashImages()) {
        Weigh();
      }
    }
    return std::move(out_);
  }

 private:
  // ---- Ways to end.

  bool Gone() {
    out_.answer = Judgement::Answer::kGone;
    return false;
  }
  bool Missing(int error) {
    out_.answer = Judgement::Answer::kMissing;
    out_.error = error;
    return false;
  }
  bool Refuse(int error, std::string reason) {
    out_.answer = Judgement::Answer::kRefuse;
    out_.error = error;
    out_.record.verdict = policy::Action::kDeny;
    out_.record.reason = std::move(reason);
    out_.record.result = call_.check_only() ? "check" : "denied";
    return false;
  }
  // The task's memory could not be read: what the kernel would say where it cannot either.
  bool Unreadable(const Error& error, const char* what) {
    if (error.code() == ESRCH) return Gone();
    const int code = error.code() == EPERM ? EACCES : error.code();
    return Refuse(code, std::string("cannot be judged: ") + what);
  }

  // ---- Steps.

  void StartRecord() {
    const notify::CellFacts& facts = judge_.facts_;
    out_.record =
        journal::RecordNow(journal::Kind::kExec, facts.cell_id, tid_, facts.inside_uid, facts.user);
    out_.record.redact = view_->policy->profile().audit_redact.value;
  }

  bool ReadCall() {
    const Result<ExecCall> call = ExecCall::Of(data_);
    if (!call.ok()) return Missing(call.error().code());
    call_ = call.value();
    return true;
  }

  bool ReadPath() {
    Result<std::string> path = memory_.ReadPath(call_.path);
    if (!path.ok()) return Unreadable(path.error(), "its path cannot be read");
    out_.request.raw_path = std::move(path).value();
    out_.record.path = out_.request.raw_path;
    lookup_ = {.tid = tid_,
               .directory = call_.directory,
               .path = out_.request.raw_path,
               .follow_last = (call_.flags & AT_SYMLINK_NOFOLLOW) == 0,
               .empty_path = (call_.flags & AT_EMPTY_PATH) != 0};
    return true;
  }

  bool ChooseView() {
    if (!judge_.facts_.nests) return true;
    Result<Resolver> own = judge_.resolver_.ViewOf(tid_);
    if (!own.ok()) return Refuse(EACCES, "its root directory cannot be read");
    own_view_ = std::move(own).value();
    return true;
  }
  [[nodiscard]] const Resolver& resolver() const {
    return own_view_.has_value() ? *own_view_ : judge_.resolver_;
  }

  bool Find() {
    Result<File> file = resolver().Resolve(lookup_);
    if (!file.ok()) return Missing(file.error().code());
    if (const int refused = CannotExecute(file.value())) return Missing(refused);
    named_ = std::move(file).value();
    return true;
  }

  bool ReadArguments() {
    auto arguments = memory_.ReadArguments(call_.argv, call_.env);
    if (!arguments.ok()) return Unreadable(arguments.error(), "its arguments cannot be read");
    out_.request.argv = std::move(arguments->argv);
    out_.request.env = std::move(arguments->env);
    return true;
  }

  bool ReadSurroundings() {
    Result<std::string> directory = ReadWorkingDirectory(tid_);
    if (!directory.ok()) return Refuse(EACCES, "its working directory cannot be read");
    out_.working_directory = std::move(directory).value();
    out_.request.cwd = out_.working_directory;
    if (own_view_.has_value() && !RecognizeDirectory()) return false;
    if (view_->uses_parent) {
      Result<std::string> parent = ReadExecutablePath(tid_);
      if (!parent.ok()) return Refuse(EACCES, "its program cannot be read");
      out_.request.parent = std::move(parent).value();
      if (own_view_.has_value() && !RecognizeParent()) return false;
    }
    out_.request.tty = view_->uses_terminal && HasTerminal(tid_);
    return true;
  }

  // In a mount namespace of its own a task can give any directory, and any program, any name.
  bool RecognizeDirectory() {
    Result<UniqueFd> opened =
        sys::OpenAt(AT_FDCWD, ProcPath(tid_, "cwd").c_str(), O_PATH | O_DIRECTORY);
    if (!opened.ok()) return Refuse(EACCES, "its working directory cannot be read");
    const Result<File> directory = own_view_->Describe(std::move(opened).value());
    if (!directory.ok()) return Refuse(EACCES, "its working directory cannot be read");
    if (directory->anonymous && view_->uses_directory) {
      return Refuse(EACCES, "its working directory is not one of the cell's");
    }
    out_.request.cwd = directory->path;
    out_.directory_id = directory->id();
    return true;
  }
  bool RecognizeParent() {
    Result<UniqueFd> opened = sys::OpenAt(AT_FDCWD, ProcPath(tid_, "exe").c_str(), O_PATH);
    if (!opened.ok()) return Refuse(EACCES, "its program cannot be read");
    const Result<File> program = own_view_->Describe(std::move(opened).value());
    if (!program.ok()) return Refuse(EACCES, "its program cannot be read");
    out_.request.parent = program->anonymous ? "(foreign) " + program->path : program->path;
    return true;
  }

  bool UnwrapAll() {
    Result<Chain> chain = Unwrap(resolver(), judge_.inspector_,
                                 {.lookup = lookup_,
                                  .name = KernelName(call_, out_.request.raw_path),
                                  .argv = out_.request.argv},
                                 std::move(named_));
    if (!chain.ok()) {
      const int code = chain.error().code();
      if (code == ENOENT || code == ELOOP) return Missing(code);
      return Refuse(code, "its image cannot be looked into");
    }
    chain_ = std::move(chain).value();
    return true;
  }

  void FillRequest() {
    policy::ExecRequest& request = out_.request;
    out_.record.argv = request.argv;
    request.argv = std::move(chain_.judged_argv);
    request.images = std::move(chain_.images);
    request.uid = judge_.facts_.inside_uid;
    request.user = judge_.facts_.user;
    request.check_only = call_.check_only();
    out_.final_argv = std::move(chain_.final_argv);
    out_.image = FileVersion::Of(chain_.files[chain_.final_image].facts);
    FillRecord();
  }

  void FillRecord() {
    journal::Record& record = out_.record;
    const policy::ExecRequest& request = out_.request;
    record.exe = request.images[0].path;
    for (std::size_t i = 1; i < request.images.size(); ++i) {
      record.chain.push_back(request.images[i].path);
    }
    record.cwd = request.cwd;
    record.parent = request.parent;
    record.tty = request.tty;
    record.script_images = ImageBits(request.images, [](const policy::ExecImage& image) {
      return image.kind == policy::ExecImage::Kind::kScript;
    });
    record.writable_images =
        ImageBits(request.images, [](const policy::ExecImage& image) { return image.writable; });
    record.anonymous_images =
        ImageBits(request.images, [](const policy::ExecImage& image) { return image.anonymous; });
    Result<std::string> digest = HashStrings(request.env);
    if (digest.ok()) record.env_digest = std::move(digest).value();
  }

  // The shim executes what was decided for it: exactly that, or nothing.
  void MatchTicket() {
    const Ticket& ticket = *out_.ticket;
    const bool may = ticket.purpose == Ticket::Purpose::kExecute && ticket.sealed != nullptr;
    const std::string difference = may ? Difference(*ticket.sealed) : "it may run nothing yet";
    if (!difference.empty()) {
      if (may && ticket.sealed->refusal != nullptr) ticket.sealed->refusal->Set(difference);
      (void)Refuse(EACCES, "not what the waiting room was told to run: " + difference);
      return;
    }
    const Sealed& sealed = *ticket.sealed;
    out_.record.verdict = policy::Action::kAllow;
    out_.record.rule = sealed.rule;
    if (!sealed.ask.empty()) {
      out_.record.detail = "{\"ask\":\"" + sealed.ask + "\"}";
    } else if (sealed.checked) {
      out_.record.detail = "{\"checked\":true}";
    }
    if (!sealed.by_path && out_.request.images[chain_.final_image].writable) {
      out_.image_hash = sealed.images[chain_.final_image].hash;
    }
    out_.answer = Judgement::Answer::kRun;
  }

  // What is not as it was sealed; "" where everything is.
  std::string Difference(const Sealed& sealed) {
    if (out_.request.raw_path != sealed.program) return "another program";
    if (out_.record.argv != sealed.argv) return "other arguments";
    if (out_.record.env_digest.empty() || out_.record.env_digest != sealed.env_digest) {
      return "another environment";
    }
    if (!sealed.cwd.empty()) {
      const Result<policy::FileId> directory = ReadWorkingDirectoryId(tid_);
      if (out_.request.cwd != sealed.cwd || !directory.ok() || *directory != sealed.cwd_id) {
        return "the working directory is another one now";
      }
    }
    if (sealed.by_path) return WritableImage();
    if (chain_.files.size() != sealed.images.size()) return "it has another interpreter now";
    for (std::size_t i = 0; i < chain_.files.size(); ++i) {
      if (!IsSealedImage(i, sealed.images[i])) return out_.request.images[i].path + " has changed";
    }
    return "";
  }

  [[nodiscard]] std::string WritableImage() const {
    for (const policy::ExecImage& image : out_.request.images) {
      if (image.writable || image.anonymous) return image.path + " could have been changed";
    }
    return "";
  }

  // A version that is the same says nothing about what the cell can write, but such an image is
  // hashed again in its exec stop.
  bool IsSealedImage(std::size_t i, const Sealed::Image& image) {
    if (FileVersion::Of(chain_.files[i].facts) == image.version) return true;
    if (image.hash.empty()) return false;
    (void)lane_.EnsureReceiver();
    const Result<std::string> hash = judge_.inspector_.Hash(chain_.files[i], lane_.stop_flag());
    return hash.ok() && *hash == image.hash;
  }

  // Whether what a hash was taken of is what runs: the image of the process is hashed again in its
  // exec stop. A writable script or payload is opened again by name, and may be another one then.
  [[nodiscard]] bool HashHolds(std::size_t image) const {
    return !out_.request.images[image].writable || image == chain_.final_image;
  }

  bool HashImages() {
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

  [[nodiscard]] policy::Verdict AskPolicy() {
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

  void Weigh() {
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

  void Observe() {
    out_.record.observed = policy::ActionName(out_.verdict.action);
    out_.record.verdict = policy::Action::kAllow;
    out_.verdict.action = policy::Action::kAllow;
    out_.verdict.rewrite = nullptr;
    out_.verdict.checks.clear();
    out_.verdict.strategy = policy::Strategy::kInPlace;
    Allow();
  }

  // What the floor or a workspace denies stays denied, and so does what no rule may allow.
  [[nodiscard]] bool MayPropose() const {
    const policy::Verdict& verdict = out_.verdict;
    return verdict.action == policy::Action::kDeny && chain_.refused.empty() &&
           verdict.rule.layer != policy::Layer::kFloor &&
           verdict.rule.layer != policy::Layer::kWorkspace && judge_.facts_.admit != nullptr;
  }

  // Waits for a person, off this thread.
  void Ask() {
    if (!Prepare()) return;
    out_.record.reason = out_.verdict.reason;
    out_.record.image_hash.clear();
  }

  // Its process becomes the shim of a command that runs elsewhere.
  void RunElsewhere() {
    if (judge_.facts_.run_elsewhere == nullptr)
      return DenyBecause("it cannot be run outside the process that asked for it");
    if (Prepare()) out_.asked->allowed = true;
  }

  // Waits for external checkers, which may still deny it.
  void Check() {
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

  void DenyBecause(std::string why) {
    out_.verdict.message = std::move(why);
    out_.record.verdict = policy::Action::kDeny;
    out_.record.reason = out_.verdict.message;
    Deny();
  }

  // False: it is denied.
  bool Prepare() {
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
      if (out_.record.verdict == policy::Action::kAllow)
        out_.record.verdict = policy::Action::kDeny;
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

  void Deny() {
    out_.record.result = call_.check_only() ? "check" : "denied";
    out_.error = out_.verdict.error != 0 ? out_.verdict.error : EACCES;
    const bool explain = out_.verdict.error == 0 && !call_.check_only();
    out_.answer = explain ? Judgement::Answer::kExplain : Judgement::Answer::kRefuse;
    out_.explanation = DenialText(out_.request.raw_path, out_.record.argv, out_.verdict);
  }

  void Allow() {
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

  void PrepareRewrite() {
    const std::vector<policy::ExecImage>& images = out_.request.images;
    const bool by_name =
        !images[0].anonymous && out_.final_argv.size() >= out_.request.argv.size() &&
        chain_.final_image + 1 == images.size() && out_.record.argv == out_.request.argv;
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

  Judge& judge_;
  const std::shared_ptr<const PolicyView> view_;
  const pid_t tid_;
  const seccomp_data& data_;
  notify::Lane& lane_;
  notify::RemoteMemory memory_;
  Judgement out_;
  ExecCall call_;
  Lookup lookup_;
  std::optional<Resolver> own_view_;  // in a cell whose tasks may have one
  File named_;
  Chain chain_;
  bool hash_may_change_ = false;
  std::optional<std::string> proposal_;  // the caller's words
  bool denied_by_rule_ = false;          // and asked about only because of them
};

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
