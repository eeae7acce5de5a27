// SPDX-License-Identifier: Apache-2.0
#include "broker/run/elsewhere.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <utility>

#include "broker/exec/hash.h"
#include "broker/exec/task.h"
#include "lib/base/text.h"
#include "lib/policy/tool_rules.h"
#include "lib/policy/units.h"
#include "lib/sys/file.h"

namespace cellrun::run {
namespace {

constexpr int kOutputEnded = 123;
constexpr int kTimedOut = 124;
constexpr int kDenied = 126;
constexpr int kNotFound = 127;

std::string ResultOf(const Run::End& end) {
  if (!end.wait_status) return "failed";
  if (WIFSIGNALED(*end.wait_status)) return "signal:" + std::to_string(WTERMSIG(*end.wait_status));
  return "exit:" + std::to_string(WEXITSTATUS(*end.wait_status));
}

// One process, by number and start time together, may do what was approved.
Result<void> Grant(exec::Desk* desk, pid_t pid, const exec::Sealed& sealed) {
  if (desk == nullptr) return Error(ESRCH, "", "its cell has ended");
  const std::uint64_t start_time = TRY(exec::StartTime(pid));
  desk->Allow(pid, start_time, std::make_shared<const exec::Sealed>(sealed));
  return {};
}

Command CommandOf(const exec::AskedExec& asked) {
  return {.program = asked.sealed.program,
          .directory = asked.ask.cwd,
          .argv = asked.sealed.argv,
          .environment = asked.environment};
}

// A tool is not the entry that stands for it in the cell, but the program of that name where it
// runs; nobody in a cell can write there.
Result<void> FindTool(exec::AskedExec& asked, const policy::Profile& profile) {
  const std::string directory = std::string(&policy::kToolsDirectory[0]) + "/";
  if (!asked.ask.program.starts_with(directory)) return {};
  const std::string name = asked.ask.program.substr(directory.size());
  const std::string& root = asked.ghost.image.empty() && profile.filesystem.root.value != "host"
                                ? profile.filesystem.root.value
                                : asked.ghost.image;
  for (const auto& place : profile.path) {
    const std::string path = place.value + "/" + name;
    if (!sys::FstatAt(AT_FDCWD, (root + path).c_str(), AT_SYMLINK_NOFOLLOW).ok()) continue;
    asked.sealed.program = path;
    asked.sealed.by_path = true;
    return {};
  }
  return Error(ENOENT, "", "the tool " + name + " is in no directory of `path`");
}

bool IsBelow(const std::string& path, const std::string& directory) {
  return path == directory || path.starts_with(directory + "/");
}

// Those that the rule has set.
std::vector<int> OwnLimits(const policy::Limits& limits) {
  std::vector<int> own;
  if (limits.processes) own.push_back(RLIMIT_NPROC);
  if (limits.files) own.push_back(RLIMIT_NOFILE);
  if (limits.memory_bytes) own.push_back(RLIMIT_DATA);
  return own;
}

// 0: all.
std::uint64_t OutputOf(const policy::Limits& limits) {
  return limits.output_bytes ? limits.output_bytes->value : 0;
}

// The kernel kills silently where memory runs out.
std::string ExplainEnd(const cells::Cell& ghost, int status) {
  constexpr int kKilledInside = 128 + SIGKILL;  // as a shell passes it on
  const bool killed =
      WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == kKilledInside;
  const auto& memory = ghost.setup().policy->profile().limits.memory_bytes;
  if (!killed || !memory || ghost.setup().limits.MemoryKills() == 0) return "";
  return "cellrun: memory ran out: the kernel ended a process of the command, which may use " +
         std::to_string(memory->value) + " bytes\n";
}

// What the caller's own values could make a command with more rights run.
std::vector<std::string> GhostEnvironment(std::vector<std::string> environment,
                                          const Ghost& ghost) {
  std::erase_if(environment, [](const std::string& entry) {
    return entry.starts_with("PATH=") || entry.starts_with("HOME=");
  });
  environment.push_back("PATH=" + ghost.path());
  environment.push_back("HOME=" + ghost.home());
  return environment;
}

// The same name in the ghost: a copy is called by what is in it.
Result<void> CopyScript(const exec::AskedExec& asked, cells::Cell& ghost,
                        std::shared_ptr<const void>& copy) {
  if (asked.read_copy == nullptr) return {};
  if (ghost.shelf() == nullptr) return Error(ESRCH, "", "its cell has ended");
  copy = TRY(ghost.shelf()->Put(TRY(asked.read_copy()), asked.ask.script_hash));
  return {};
}

}  // namespace

Elsewhere::Elsewhere(Broker broker, std::function<void()> on_gone)
    : broker_(std::move(broker)),
      on_gone_(std::move(on_gone)),
      checkers_([this] { return ForGhosts(); }, on_gone_) {}
Elsewhere::~Elsewhere() = default;

Ghost::Broker Elsewhere::ForGhosts() const {
  return {.loop = broker_.loop,
          .services = broker_.services(),
          .registry = broker_.registry,
          .policies = broker_.policies,
          .veil = broker_.veil};
}

void Elsewhere::Check(const std::string& cell_id, const std::string& command, std::string request,
                      std::function<void(Result<std::string> printed)> done) {
  checkers_.Run(cell_id, command, std::move(request), std::move(done));
}

void Elsewhere::Run(const std::string& cell_id, exec::Waiter waiter) {
  const auto caller = broker_.registry.cells().find(cell_id);
  // The end of file of its channel tells the shim, if there is one still.
  if (caller == broker_.registry.cells().end() || caller->second->desk() == nullptr) return;
  const std::uint64_t id = next_++;
  Entry& entry = entries_[id];
  entry.caller = cell_id;
  entry.asked = std::move(waiter.asked);
  entry.run = std::make_unique<run::Run>(
      broker_.loop, broker_.janitor,
      run::Run::Caller{.shim = std::move(waiter.channel),
                       .pid = waiter.pid,
                       .relayed = entry.asked->ask.strategy == policy::Strategy::kGhost &&
                                  (!entry.asked->ghost.secrets.empty() ||
                                   entry.asked->ghost.limits.output_bytes)},
      [this, id](const Run::End& end) { OnEnded(id, end); });
  const Result<void> found = FindTool(*entry.asked, caller->second->setup().policy->profile());
  if (!found.ok())
    return entry.run->Refuse(kNotFound, "cellrun: " + found.error().context() + "\n");
  if (entry.asked->ask.strategy == policy::Strategy::kMirror)
    return Mirror(entry, *caller->second, waiter.desk);
  if (!entry.asked->ghost.secrets.empty()) return ReadSecretsOf(id, entry, *caller->second);
  RunInGhost(id, entry, *caller->second);
}

// Read anew for each use, and off this thread.
void Elsewhere::ReadSecretsOf(std::uint64_t id, const Entry& entry, const cells::Cell& caller) {
  const auto read = [this, id, secrets = caller.setup().policy->profile().secrets,
                     names = entry.asked->ghost.secrets,
                     environment = caller.setup().request.environment] {
    auto values = std::make_shared<Result<SecretValues>>(ReadSecrets(secrets, names, environment));
    broker_.loop.Post([this, id, values] {
      const auto found = entries_.find(id);
      if (found == entries_.end()) return;
      if (!values->ok()) {
        return found->second.run->Refuse(
            kDenied, "cellrun: " + text::Escape(values->error().context()) + "\n");
      }
      found->second.secrets = std::move(values->value());
      const auto cell = broker_.registry.cells().find(found->second.caller);
      if (cell != broker_.registry.cells().end()) RunInGhost(id, found->second, *cell->second);
    });
  };
  broker_.services().pool.Do(read);
}

void Elsewhere::Mirror(Entry& entry, cells::Cell& caller, exec::Desk* desk) {
  entry.run->Start(
      CommandOf(*entry.asked),
      {.keep = [&caller](UniqueFd keeper) { return caller.Keep(std::move(keeper)); },
       .grant = [desk, asked = entry.asked](pid_t pid) { return Grant(desk, pid, asked->sealed); },
       .other_cell = false});
}

void Elsewhere::RunInGhost(std::uint64_t id, Entry& entry, cells::Cell& caller) {
  const exec::AskedExec& asked = *entry.asked;
  Result<std::unique_ptr<Ghost>> ghost =
      Ghost::Start(ForGhosts(),
                   {.caller = caller,
                    .rights = asked.ghost,
                    .rule = asked.sealed.rule,
                    .argv = asked.sealed.argv,
                    .directory = asked.ask.cwd,
                    .exec = asked.seq,
                    .secrets = &entry.secrets},
                   {.ready = [this, id] { OnGhostReady(id); },
                    .failed = [this, id](const std::string& why) { OnGhostFailed(id, why); },
                    .gone = [this, id](const wire::ExitReport&) { OnGhostGone(id); },
                    .timed_out = [this, id](auto limit) { OnTimedOut(id, limit); }});
  if (!ghost.ok()) return OnGhostFailed(id, ghost.error().ToString());
  ghosts_[id] = std::move(*ghost);
}

void Elsewhere::OnGhostReady(std::uint64_t id) {
  const auto entry = entries_.find(id);
  Ghost& ghost = *ghosts_.at(id);
  if (entry == entries_.end()) return ghost.End();
  const exec::AskedExec& asked = *entry->second.asked;
  const Result<void> copied = CopyScript(asked, ghost.cell(), entry->second.copy);
  if (!copied.ok()) return OnGhostFailed(id, "its script: " + copied.error().ToString());
  Command command = CommandOf(asked);
  command.environment = GhostEnvironment(std::move(command.environment), ghost);
  for (const SecretValues::Value& secret : entry->second.secrets.values()) {
    std::erase_if(command.environment, [&](const std::string& variable) {
      return variable.starts_with(secret.name + "=");
    });
    command.environment.push_back(
        secret.name + "=" +
        (secret.as_file ? cells::kSecretsDirectory + ("/" + secret.name) : secret.value));
  }
  exec::Sealed sealed = asked.sealed;
  const Result<std::string> digest = exec::HashStrings(command.environment);
  if (!digest.ok()) return OnGhostFailed(id, digest.error().ToString());
  sealed.env_digest = *digest;
  sealed.by_path = sealed.by_path || !asked.ghost.image.empty();
  // Elsewhere the ghost has a directory of its own under that name, if any.
  if (!IsBelow(sealed.cwd, ghost.cell().setup().request.workspace)) sealed.cwd.clear();
  entry->second.run->Start(
      std::move(command),
      {.keep = [&ghost](UniqueFd keeper) { return ghost.cell().Keep(std::move(keeper)); },
       .grant = [&ghost, sealed](pid_t pid) { return Grant(ghost.cell().desk(), pid, sealed); },
       .other_cell = true,
       .own_limits = OwnLimits(asked.ghost.limits),
       .secrets = entry->second.secrets.Needles(),
       .output_bytes = OutputOf(asked.ghost.limits),
       .exceeded = [this, id] { OnOutputExceeded(id); },
       .end = [&ghost] { ghost.End(); },
       .explain = [&ghost](int status) { return ExplainEnd(ghost.cell(), status); }});
}

void Elsewhere::OnGhostFailed(std::uint64_t id, const std::string& why) {
  const auto entry = entries_.find(id);
  if (entry == entries_.end()) return;
  entry->second.run->Refuse(kDenied,
                            "cellrun: the cell for it was not made: " + text::Escape(why) + "\n");
}

void Elsewhere::OnTimedOut(std::uint64_t id, std::chrono::milliseconds limit) {
  const auto entry = entries_.find(id);
  if (entry == entries_.end()) return;
  entry->second.run->Refuse(kTimedOut, "cellrun: the command was ended: it ran for " +
                                           policy::FormatDuration(limit) +
                                           ", which is all that its rule or its cell allows\n");
}

void Elsewhere::OnOutputExceeded(std::uint64_t id) {
  const auto entry = entries_.find(id);
  if (entry == entries_.end()) return;
  const exec::AskedExec& asked = *entry->second.asked;
  const auto ghost = ghosts_.find(id);
  if (ghost != ghosts_.end()) ghost->second->EndForOutput();
  entry->second.run->Refuse(kOutputEnded, "cellrun: the command was ended: it printed more than " +
                                              std::to_string(OutputOf(asked.ghost.limits)) +
                                              " bytes, which is all that its rule (" +
                                              asked.sealed.rule.at.ToString() + ") allows\n");
}

void Elsewhere::OnGhostGone(std::uint64_t id) {
  ghosts_.erase(id);
  on_gone_();
}

void Elsewhere::OnEnded(std::uint64_t id, const Run::End& end) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  const Entry& entry = found->second;
  if (entry.asked->seq != 0) broker_.veil.SetResult(entry.asked->seq, ResultOf(end));
  entries_.erase(found);
  const auto ghost = ghosts_.find(id);
  if (ghost != ghosts_.end()) ghost->second->End();
}

void Elsewhere::CellEnded(const std::string& cell_id) {
  checkers_.CellEnded(cell_id);
  std::erase_if(entries_, [&](auto& entry) {
    if (entry.second.caller != cell_id) return false;
    const auto ghost = ghosts_.find(entry.first);
    if (ghost != ghosts_.end()) ghost->second->End();
    if (entry.second.asked->seq != 0) {
      const run::Run::End end{.wait_status = entry.second.run->wait_status(), .why = ""};
      broker_.veil.SetResult(entry.second.asked->seq, ResultOf(end));
    }
    return true;
  });
}

}  // namespace cellrun::run
