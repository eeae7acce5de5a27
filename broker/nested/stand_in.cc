// SPDX-License-Identifier: Apache-2.0
#include "broker/nested/stand_in.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <string_view>

#include "broker/exec/task.h"
#include "lib/sys/file.h"
#include "lib/sys/mount.h"
#include "lib/sys/process.h"
#include "lib/sys/socket.h"

namespace cellrun::nested {
namespace {

using exec::ProcPath;

constexpr std::chrono::seconds kLimit{5};  // somebody may stop the child

Result<UniqueFd> OpenOf(pid_t tid, const char* name, int flags) {
  return sys::OpenAt(AT_FDCWD, ProcPath(tid, name).c_str(), flags);
}

Result<std::uint64_t> EffectiveCapabilities(pid_t tid) {
  constexpr std::size_t kMaxStatusBytes = 16UL * 1024;
  constexpr std::string_view kName = "\nCapEff:\t";
  constexpr int kHexadecimal = 16;
  const std::string status =
      TRY(sys::ReadWholeFileAt(AT_FDCWD, ProcPath(tid, "status").c_str(), kMaxStatusBytes));
  const std::size_t at = status.find(kName);
  std::uint64_t capabilities = 0;
  if (at == std::string::npos) return Error(EPROTO, "read", "a status file in /proc");
  const char* first = status.data() + at + kName.size();
  (void)std::from_chars(first, status.data() + status.size(), capabilities, kHexadecimal);
  return capabilities;
}

int StatusOf(const Result<void>& done) {
  return done.ok() ? 0 : done.error().code();
}
Result<void> OutcomeOf(int status, const char* operation) {
  if (!WIFEXITED(status)) return Error(EACCES, operation);  // killed: somebody inside can do that
  if (WEXITSTATUS(status) != 0) return Error(WEXITSTATUS(status), operation);
  return {};
}

bool EndsInTime(const UniqueFd& pidfd) {
  const std::chrono::nanoseconds deadline = sys::MonotonicNow() + kLimit;
  pollfd wait{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - sys::MonotonicNow());
    if (left.count() <= 0) return false;
    if (poll(&wait, 1, static_cast<int>(left.count())) > 0) return true;  // else: EINTR, or late
  }
}

}  // namespace

Result<StandIn> StandIn::For(pid_t tid, uid_t uid, gid_t gid) {
  constexpr int kDirectory = O_PATH | O_DIRECTORY;
  StandIn made;
  made.uid_ = uid;
  made.gid_ = gid;
  made.capabilities_ = TRY(EffectiveCapabilities(tid));
  made.user_ = TRY(OpenOf(tid, "ns/user", O_RDONLY));
  made.mount_ = TRY(OpenOf(tid, "ns/mnt", O_RDONLY));
  made.pid_ = TRY(OpenOf(tid, "ns/pid", O_RDONLY));
  made.ipc_ = TRY(OpenOf(tid, "ns/ipc", O_RDONLY));
  made.root_ = TRY(OpenOf(tid, "root", kDirectory));
  made.directory_ = TRY(OpenOf(tid, "cwd", kDirectory));
  return made;
}

bool StandIn::MayAdminister() const {
  return (capabilities_ >> CAP_SYS_ADMIN & 1U) != 0;
}

// fork(3) leaves the allocator usable in the child of a process with threads, and setns(2) into a
// user namespace needs a process of one thread, which a child is.
Result<void> StandIn::Run(const std::function<Result<void>()>& act) const {
  const pid_t pid = fork();
  if (pid < 0) return ErrnoError("fork");
  if (pid == 0) _exit(StatusOf(act()));
  Result<UniqueFd> pidfd = sys::PidfdOpen(pid);  // not reaped yet, so it is this child
  if (!pidfd.ok()) {
    (void)kill(pid, SIGKILL);
    (void)sys::ChildProcess(pid, UniqueFd()).Wait();
    return pidfd.error();
  }
  sys::ChildProcess child(pid, std::move(*pidfd));
  if (!EndsInTime(child.pidfd())) return Error(EACCES, "waiting for a stand-in");  // and kills it
  return OutcomeOf(TRY(child.Wait()), "a stand-in");
}

Result<void> StandIn::Become() const {
  TRY(sys::SetDumpable(false));
  if (geteuid() == 0 && uid_ != 0) {  // a broker of root's
    TRY(sys::KeepCapabilities());
    TRY(sys::SetIds(uid_, gid_));
    TRY(sys::RaiseCapabilities());
  }
  return sys::SetNamespace(user_, CLONE_NEWUSER);
}

// The namespaces of which a file system shows something. Where the task has only the cell's, it has
// no right to mount these, and nor has its stand-in to enter.
Result<void> StandIn::EnterMounts(const MountCall& call) const {
  if (call.type == "mqueue") TRY(sys::SetNamespace(ipc_, CLONE_NEWIPC));
  if (call.type == "proc") TRY(sys::SetNamespace(pid_, CLONE_NEWPID));
  TRY(sys::SetNamespace(mount_, CLONE_NEWNS));
  TRY(sys::ChangeRoot(root_));
  TRY(sys::ChangeDirectory(directory_));
  return sys::LimitCapabilities(capabilities_);
}

Result<void> StandIn::MountHere(const MountCall& call) const {
  return sys::Mount(call.source.has_value() ? call.source->c_str() : nullptr, call.target.c_str(),
                    call.type.c_str(), call.flags,
                    call.data.has_value() ? call.data->c_str() : nullptr);
}

Result<void> StandIn::Mount(const MountCall& call) const {
  return Run([&]() -> Result<void> {
    TRY(Become());
    TRY(EnterMounts(call));
    if (call.type != "proc") return MountHere(call);
    // Only a child is in the pid namespace that was entered, and procfs shows its mounter's.
    const pid_t pid = fork();
    if (pid < 0) return ErrnoError("fork");
    if (pid == 0) {
      (void)sys::SetParentDeathSignal(SIGKILL);
      _exit(StatusOf(MountHere(call)));
    }
    sys::ChildProcess child(pid, UniqueFd());
    return OutcomeOf(TRY(child.Wait()), "mount");
  });
}

Result<UniqueFd> StandIn::Open(const std::string& path, int flags) const {
  std::pair<UniqueFd, UniqueFd> ends = TRY(sys::SocketPair(SOCK_SEQPACKET));
  TRY(Run([&]() -> Result<void> {
    TRY(Become());
    TRY(sys::LimitCapabilities(capabilities_));
    const UniqueFd file = TRY(sys::OpenAt(AT_FDCWD, path.c_str(), flags));
    const std::array<int, 1> fds = {file.get()};
    return sys::SendMessage(ends.second, "f", fds);
  }));
  sys::Message message = TRY(sys::ReceiveMessage(ends.first, 1, MSG_DONTWAIT));
  if (message.fds.size() != 1) return Error(EACCES, "a stand-in");
  return std::move(message.fds[0]);
}

}  // namespace cellrun::nested
