// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/process.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "lib/sys/returned.h"

namespace cellrun::sys {
namespace {

template <typename Change>
Result<void> ChangeCapabilities(Change change) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> sets{};
  TRY(Check(syscall(SYS_capget, &header, sets.data()), "capget"));
  for (unsigned half = 0; half < sets.size(); ++half) change(sets.at(half), half);
  return Check(syscall(SYS_capset, &header, sets.data()), "capset");
}

}  // namespace

Result<pid_t> Clone3(clone_args arguments) {
  const long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0) return ErrnoError("clone3");
  return static_cast<pid_t>(pid);
}
Result<UniqueFd> PidfdOpen(pid_t pid) {
  return Own(syscall(SYS_pidfd_open, pid, 0), "pidfd_open");
}
Result<void> PidfdSendSignal(const UniqueFd& pidfd, int signal) {
  return Check(syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0),
               "pidfd_send_signal");
}
bool HasEnded(const UniqueFd& pidfd, std::chrono::milliseconds within) {
  pollfd polled{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  return poll(&polled, 1, static_cast<int>(within.count())) > 0;
}
Result<UniqueFd> PidfdGetfd(const UniqueFd& pidfd, int remote_fd) {
  return Own(syscall(SYS_pidfd_getfd, pidfd.get(), remote_fd, 0), "pidfd_getfd");
}
Result<std::optional<WaitStatus>> WaitPid(pid_t pid, int options) {
  WaitStatus found;
  found.pid = waitpid(pid, &found.status, options);
  if (found.pid < 0) return ErrnoError("waitpid");
  if (found.pid == 0) return std::optional<WaitStatus>();
  return std::optional<WaitStatus>(found);
}

Result<void> NoNewPrivileges() {
  return Check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)");
}
Result<void> SetDumpable(bool on) {
  return Check(prctl(PR_SET_DUMPABLE, on ? 1 : 0, 0, 0, 0), "prctl(PR_SET_DUMPABLE)");
}
Result<void> SetParentDeathSignal(int signal) {
  return Check(prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)");
}
Result<void> SetName(const char* name) {
  return Check(prctl(PR_SET_NAME, name, 0, 0, 0), "prctl(PR_SET_NAME)");
}

Result<void> DropCapabilities() {
  // The bounding set goes first: once CAP_SETPCAP is gone it can no longer be shrunk. EINVAL:
  // behind the last capability.
  for (unsigned long capability = 0; capability < 64; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) break;
    return ErrnoError("prctl(PR_CAPBSET_DROP)");
  }
  TRY(Check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "prctl(PR_CAP_AMBIENT)"));
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> sets{};
  TRY(Check(syscall(SYS_capset, &header, sets.data()), "capset"));
  TRY(Check(syscall(SYS_capget, &header, sets.data()), "capget"));
  for (const auto& set : sets) CHECK((set.effective | set.permitted | set.inheritable) == 0);
  CHECK(prctl(PR_CAPBSET_READ, 0, 0, 0, 0) == 0);
  return {};
}
Result<void> KeepCapabilities() {
  return Check(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl(PR_SET_KEEPCAPS)");
}
Result<void> RaiseCapabilities() {
  return ChangeCapabilities(
      [](__user_cap_data_struct& set, unsigned /*half*/) { set.effective = set.permitted; });
}
Result<void> LimitCapabilities(std::uint64_t capabilities) {
  return ChangeCapabilities([capabilities](__user_cap_data_struct& set, unsigned half) {
    set.permitted &= static_cast<std::uint32_t>(capabilities >> (32 * half));
    set.effective = set.permitted;
    set.inheritable = 0;
  });
}
Result<void> JoinNewSessionKeyring() {
  return Check(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr, 0, 0, 0),
               "keyctl(KEYCTL_JOIN_SESSION_KEYRING)");
}
Result<void> NewSession() {
  return Check(setsid(), "setsid");
}
Result<void> SetHostName(std::string_view name) {
  return Check(sethostname(name.data(), name.size()), "sethostname");
}
Result<void> ChangeDirectory(const char* path) {
  return Check(chdir(path), "chdir");
}
Result<void> ChangeDirectory(const UniqueFd& directory) {
  return Check(fchdir(directory.get()), "fchdir");
}
Result<void> ChangeRoot(const UniqueFd& directory) {
  TRY(ChangeDirectory(directory));
  return Check(chroot("."), "chroot");
}
Result<void> CloseRange(unsigned first, unsigned last, unsigned flags) {
  return Check(syscall(SYS_close_range, first, last, flags), "close_range");
}
Result<rlimit64> GetLimit(int resource) {
  rlimit64 limit{};
  TRY(Check(prlimit64(0, static_cast<__rlimit_resource>(resource), nullptr, &limit), "prlimit64"));
  return limit;
}
Result<void> SetLimit(int resource, rlimit64 limit) {
  return Check(prlimit64(0, static_cast<__rlimit_resource>(resource), &limit, nullptr),
               "prlimit64");
}
namespace {
// 8192 processors: more than any kernel is built for.
using ProcessorMask = std::array<unsigned long, 128>;
constexpr unsigned kBits = 64;
}  // namespace

Result<std::vector<unsigned>> Processors() {
  ProcessorMask mask{};
  const long bytes = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask.data());
  if (bytes < 0) return ErrnoError("sched_getaffinity");
  std::vector<unsigned> numbers;
  for (unsigned number = 0; number < static_cast<unsigned>(bytes) * 8; ++number) {
    if (((mask.at(number / kBits) >> (number % kBits)) & 1) != 0) numbers.push_back(number);
  }
  return numbers;
}
Result<void> KeepProcessors(std::span<const unsigned> numbers) {
  ProcessorMask mask{};
  for (const unsigned number : numbers) mask.at(number / kBits) |= 1UL << (number % kBits);
  if (syscall(SYS_sched_setaffinity, 0, sizeof mask, mask.data()) != 0)
    return ErrnoError("sched_setaffinity");
  return {};
}
Result<void> SetNamespace(const UniqueFd& fd, int type) {
  return Check(setns(fd.get(), type), "setns");
}
Result<void> Unshare(int flags) {
  return Check(unshare(flags), "unshare");
}
Result<void> SetIds(uid_t uid, gid_t gid) {
  // Raw calls: glibc's signal every thread, and there is only one here.
  TRY(Check(syscall(SYS_setgroups, 0, nullptr), "setgroups"));
  TRY(Check(syscall(SYS_setresgid, gid, gid, gid), "setresgid"));
  TRY(Check(syscall(SYS_setresuid, uid, uid, uid), "setresuid"));
  CHECK(getuid() == uid && geteuid() == uid && getgid() == gid && getegid() == gid);
  return {};
}

std::chrono::nanoseconds MonotonicNow() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)) {}
ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(pidfd_, other.pidfd_);
  return *this;
}
ChildProcess::~ChildProcess() {
  if (pid_ <= 0) return;
  (void)Kill();  // ESRCH: it is a zombie already
  (void)Wait();
}
Result<void> ChildProcess::Kill() const {
  return PidfdSendSignal(pidfd_, SIGKILL);
}
Result<int> ChildProcess::Wait() {
  for (;;) {
    const Result<std::optional<WaitStatus>> ended = WaitPid(pid_, __WALL);
    if (!ended.ok() && ended.error().code() == EINTR) continue;
    pid_ = -1;
    if (!ended.ok()) return ended.error();
    return ended.value()->status;
  }
}

}  // namespace cellrun::sys
