// SPDX-License-Identifier: Apache-2.0
#include "broker/run/builder.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "lib/base/sanitized.h"
#include "lib/sys/file.h"
#include "lib/sys/socket.h"
#include "lib/wire/launch.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::run {
namespace {

struct Attributes {
  Attributes() {
    (void)posix_spawnattr_init(&value);  // these fail only for nonsense
    sigset_t set;
    sigemptyset(&set);
    (void)posix_spawnattr_setsigmask(&value, &set);
    sigfillset(&set);
    (void)posix_spawnattr_setsigdefault(&value, &set);
    (void)posix_spawnattr_setflags(
        &value, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  }
  ~Attributes() { (void)posix_spawnattr_destroy(&value); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  posix_spawnattr_t value{};
};

struct Actions {
  // Everything else of the broker's closes at the exec.
  explicit Actions(int socket) {
    (void)posix_spawn_file_actions_init(&value);
    (void)posix_spawn_file_actions_adddup2(&value, socket, wire::kBuildFd);
  }
  ~Actions() { (void)posix_spawn_file_actions_destroy(&value); }
  Actions(const Actions&) = delete;
  Actions& operator=(const Actions&) = delete;
  posix_spawn_file_actions_t value{};
};

Result<pid_t> SpawnLauncher(const UniqueFd& socket) {
  std::string program = TRY(wire::LauncherPath());
  std::string word = &wire::kBuildWord[0];
  const std::array<char*, 3> argv = {program.data(), word.data(), nullptr};
  std::vector<char*> environment = SanitizerEnvironment();
  environment.push_back(nullptr);
  const Attributes attributes;
  const Actions actions(socket.get());
  pid_t pid = 0;
  const int code = posix_spawn(&pid, program.c_str(), &actions.value, &attributes.value,
                               argv.data(), environment.data());
  if (code != 0) return Error(code, "posix_spawn", program);
  return pid;
}

}  // namespace

Result<std::unique_ptr<Builder>> Builder::Start(loop::Loop& loop, Callbacks callbacks) {
  auto [ours, theirs] = TRY(sys::SocketPair(SOCK_SEQPACKET));
  const pid_t pid = TRY(SpawnLauncher(theirs));
  std::unique_ptr<Builder> builder(new Builder(loop, std::move(callbacks)));
  builder->socket_ = std::move(ours);
  TRY(sys::SetNonBlocking(builder->socket_, true));
  auto process = std::make_shared<Process>();
  process->pid = pid;
  process->pidfd = TRY(sys::PidfdOpen(pid));
  ReapWhenEnded(loop, process);
  builder->watch_ =
      loop.WatchReadable(builder->socket_, [made = builder.get()] { made->OnMessage(); });
  return builder;
}

void Builder::ReapWhenEnded(loop::Loop& loop, std::shared_ptr<Process> process) {
  Process& owned = *process;
  // Keeps itself alive until then.
  owned.watch = loop.WatchReadable(owned.pidfd, [process, &loop] {
    (void)sys::WaitPid(process->pid, WNOHANG);
    loop.Post([process] { process->watch.reset(); });
  });
}

Builder::~Builder() = default;

Result<void> Builder::Build(const std::string& plan, UniqueFd control,
                            const std::vector<int>& cgroups) {
  if (!cgroups.empty()) TRY(sys::SendMessage(socket_, wire::EncodeCgroups(), cgroups));
  const int number = control.get();
  return wire::SendPlan(socket_, plan, {number}).With("ordering the cell");
}

void Builder::OnMessage() {
  Result<sys::Message> message = sys::ReceiveMessage(socket_, wire::kMaxLaunchBytes, MSG_DONTWAIT);
  if (!message.ok() && message.error().code() == EAGAIN) return;
  if (!message.ok() || message->bytes.empty()) {
    watch_.reset();
    // Once the cell has started, its control socket says how it ends; a short command's end may be
    // heard here first.
    if (!started_) callbacks_.failed("the launcher ended");
    return;
  }
  const Result<nlohmann::json> json = wire::ParseStrictJson(message->bytes);
  if (!json.ok()) return callbacks_.failed("the launcher's answer is not understood");
  const Result<wire::Started> started = wire::DecodeStarted(*json);
  if (started.ok() && message->fds.size() == 1) {
    started_ = true;
    return callbacks_.started(std::move(message->fds[0]), started->lost_layers);
  }
  const Result<wire::Refusal> refusal = wire::DecodeRefusal(*json);
  watch_.reset();
  callbacks_.failed(refusal.ok() ? refusal->what + ": " + refusal->cause
                                 : "the launcher's answer is not understood");
}

}  // namespace cellrun::run
