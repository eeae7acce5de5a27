// SPDX-License-Identifier: Apache-2.0
// What the broker needs to stop, read and check a task.
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>

#include "launcher/doctor/child.h"
#include "launcher/doctor/probe.h"
#include "lib/sys/file.h"
#include "lib/sys/process.h"
#include "lib/sys/ptrace.h"
#include "lib/sys/seccomp.h"
#include "lib/sys/uapi.h"

namespace cellrun::doctor {
namespace {

// Notifies getppid(2), which nothing here calls otherwise; allows the rest.
constexpr std::array kNotifyGetppid = {
    sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
    sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_getppid},
    sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF},
    sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
};

Result<UniqueFd> Listen(unsigned long flags) {
  TRY(sys::NoNewPrivileges());
  return sys::SeccompNewListener(kNotifyGetppid, flags);
}

Observation Observe(const Result<Reply>& reply) {
  if (!reply.ok()) return Missing(reply.error().ToString());
  if (reply->code == EBUSY) {
    return Missing("a listener supervises this process already", "run doctor outside of the cell");
  }
  if (reply->code != 0) return Missing(reply->text);
  return Present();
}

Reply ToReply(const Result<void>& result) {
  return result.ok() ? Reply{} : Failed(result.error());
}

// A task makes the notified call; its answer is a descriptor put into it. The task says how its
// call came out by its exit status.
Result<void> AnswerWithDescriptor() {
  const UniqueFd listener = TRY(Listen(0));
  auto [read, write] = TRY(sys::Pipe2(O_CLOEXEC));
  const pid_t pid = fork();
  if (pid < 0) return ErrnoError("fork");
  if (pid == 0) {
    const long number = syscall(SYS_getppid);
    _exit(number >= 0 && fcntl(static_cast<int>(number), F_GETFD) >= 0 ? 0 : 1);
  }
  const auto notification = TRY(sys::SeccompReceive(listener));
  if (!notification) return Error(ENOENT, "seccomp notification");
  (void)TRY(sys::SeccompReplyFd(listener, notification->id, write));
  int status = 0;
  if (waitpid(pid, &status, 0) < 0) return ErrnoError("waitpid");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return Error(EBADF, "injected descriptor");
  return {};
}

Observation LookAtNotification() {
  return Observe(InChild([] { return ToReply(AnswerWithDescriptor()); }));
}

Observation LookAtWaitKillable() {
  return Observe(InChild([]() -> Reply {
    const auto listener = Listen(uapi::kSeccompWaitKillableRecv);
    return listener.ok() ? Reply{} : Failed(listener.error());
  }));
}

Observation LookAtSyncWakeUp() {
  return Observe(InChild([]() -> Reply {
    const auto listener = Listen(0);
    return listener.ok() ? ToReply(sys::SeccompSyncWakeUp(*listener)) : Failed(listener.error());
  }));
}

// A task in a user namespace that this user owns, as every task of a cell is; and a process beside
// it, as the broker is: not its parent.
class Target {
 public:
  static Result<Target> Start() {
    auto [read, write] = TRY(sys::Pipe2(O_CLOEXEC));
    auto [ready_read, ready_write] = TRY(sys::Pipe2(O_CLOEXEC));
    clone_args arguments{};
    int pidfd = -1;
    arguments.flags = CLONE_NEWUSER | CLONE_PIDFD;
    arguments.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
    arguments.exit_signal = SIGCHLD;
    const pid_t pid = TRY(sys::Clone3(arguments));
    if (pid == 0) {
      write.Reset();
      (void)sys::WriteAll(ready_write, "x");
      char byte = 0;
      (void)sys::Read(read, {&byte, 1});
      _exit(0);
    }
    Target target;
    target.child_ = sys::ChildProcess(pid, UniqueFd(pidfd));
    target.hold_ = std::move(write);
    char byte = 0;
    (void)TRY(sys::Read(ready_read, {&byte, 1}));
    return target;
  }
  [[nodiscard]] pid_t pid() const { return child_.pid(); }

 private:
  sys::ChildProcess child_;
  UniqueFd hold_;
};

Observation FromBeside(Result<void> (*act)(pid_t)) {
  const auto target = Target::Start();
  if (!target.ok()) return Missing(target.error().ToString());
  const pid_t pid = target->pid();
  return Observe(InChild([act, pid] { return ToReply(act(pid)); }));
}

constexpr char kMarker[] = "cellrun doctor";

Result<void> ReadMemory(pid_t pid) {
  // The target is a fork of ours: the marker has the same address there.
  std::array<char, sizeof(kMarker)> copy{};
  iovec local{.iov_base = copy.data(), .iov_len = copy.size()};
  iovec remote{.iov_base = const_cast<char*>(kMarker), .iov_len = sizeof(kMarker)};
  const ssize_t n = process_vm_readv(pid, &local, 1, &remote, 1, 0);
  if (n < 0) return ErrnoError("process_vm_readv");
  if (std::string_view(copy.data()) != kMarker) return Error(EIO, "process_vm_readv");
  return {};
}

Result<void> Trace(pid_t pid) {
  TRY(sys::PtraceSeize(pid, PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL));
  TRY(sys::PtraceInterrupt(pid));
  int status = 0;
  if (waitpid(pid, &status, __WALL) < 0) return ErrnoError("waitpid");
  (void)TRY(sys::PtraceGetRegisters(pid));
  return sys::PtraceDetach(pid, 0);
}

Result<void> TakeDescriptor(pid_t pid) {
  const UniqueFd pidfd = TRY(sys::PidfdOpen(pid));
  (void)TRY(sys::PidfdGetfd(pidfd, STDERR_FILENO));
  return {};
}

std::string YamaScope() {
  auto text = sys::ReadWholeFileAt(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope", 64);
  return text.ok() ? text->substr(0, text->find('\n')) : "";
}

Observation LookAtTracing() {
  Observation seen = FromBeside(Trace);
  const std::string scope = YamaScope();
  if (seen.state == State::kPresent) {
    seen.detail = scope.empty() ? "no Yama" : "Yama " + scope;
  } else if (scope == "3") {
    seen.detail = "kernel.yama.ptrace_scope is 3: nobody may attach to a process";
    seen.fix = "set kernel.yama.ptrace_scope to 2 or less in /etc/sysctl.d and restart the host";
  }
  return seen;
}

Observation LookAtMemory() {
  return FromBeside(ReadMemory);
}

Observation LookAtPidfd() {
  return FromBeside(TakeDescriptor);
}

constexpr std::array kProbes = {
    Probe{"kernel", "seccomp notification with descriptors", Need::kRequired,
          "no execve can be judged", "use Linux 5.14 or later", LookAtNotification},
    Probe{"kernel", kTracing, Need::kRequired, "what ran cannot be compared with what was judged",
          "set kernel.yama.ptrace_scope to 2 or less", LookAtTracing, kUserNamespaces},
    Probe{"kernel", "reading a task's memory", Need::kRequired,
          "the command that a program asks for cannot be read",
          "use a kernel with CROSS_MEMORY_ATTACH", LookAtMemory, kTracing},
    Probe{"kernel", "pidfd_getfd", Need::kRequired, "descriptors of a cell cannot be looked at",
          "use Linux 5.6 or later", LookAtPidfd, kTracing},
    Probe{"kernel", "seccomp WAIT_KILLABLE_RECV", Need::kRecommended,
          "signals interrupt execs that are being judged; they start again",
          "use Linux 5.19 or later", LookAtWaitKillable},
    Probe{"kernel", "seccomp SYNC_WAKE_UP", Need::kInformation,
          "a judged execve takes about 0.1 ms longer", "use Linux 6.6 or later", LookAtSyncWakeUp},
};

}  // namespace

std::span<const Probe> SupervisionProbes() {
  return kProbes;
}

}  // namespace cellrun::doctor
