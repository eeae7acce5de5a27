// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::sys {

// 0 in the child, as clone3(2). The caller must be single-threaded: the child may only do what is
// safe after fork.
Result<pid_t> Clone3(clone_args arguments);
Result<UniqueFd> PidfdOpen(pid_t pid);
Result<void> PidfdSendSignal(const UniqueFd& pidfd, int signal);
// Within that time; it waits.
bool HasEnded(const UniqueFd& pidfd, std::chrono::milliseconds within);
Result<UniqueFd> PidfdGetfd(const UniqueFd& pidfd, int remote_fd);

struct WaitStatus {
  pid_t pid = 0;
  int status = 0;  // as wait(2)
};
// Nothing: nobody is ready (only with WNOHANG). EINTR is an error: the caller may be waited for
// elsewhere.
Result<std::optional<WaitStatus>> WaitPid(pid_t pid, int options);

Result<void> NoNewPrivileges();
Result<void> SetDumpable(bool on);
Result<void> SetParentDeathSignal(int signal);
Result<void> SetName(const char* name);  // of the calling thread, ≤ 15 bytes
Result<void> DropCapabilities();  // bounding set, ambient set, then the rest; checked afterwards
// Through a change from root to another uid; what was permitted stays so, and is raised again.
Result<void> KeepCapabilities();
Result<void> RaiseCapabilities();
// Permitted and effective are at most these; bit 0 is CAP_CHOWN.
Result<void> LimitCapabilities(std::uint64_t capabilities);
Result<void> JoinNewSessionKeyring();
Result<void> NewSession();  // setsid: away from the controlling terminal
Result<void> SetHostName(std::string_view name);
Result<void> ChangeDirectory(const char* path);
Result<void> ChangeDirectory(const UniqueFd& directory);
Result<void> ChangeRoot(const UniqueFd& directory);  // the working directory too
Result<void> CloseRange(unsigned first, unsigned last, unsigned flags);
Result<rlimit64> GetLimit(int resource);
Result<void> SetLimit(int resource, rlimit64 limit);
// The numbers of those that the calling thread may run on, ascending; and that it may run on from
// now on.
Result<std::vector<unsigned>> Processors();
Result<void> KeepProcessors(std::span<const unsigned> numbers);
Result<void> SetNamespace(const UniqueFd& fd, int type);
Result<void> Unshare(int flags);
Result<void> SetIds(uid_t uid,
                    gid_t gid);  // all of real, effective, saved; groups are dropped first

// The calling thread's own, monotonic.
std::chrono::nanoseconds MonotonicNow();

// Owns a child; its destructor kills and reaps it.
class ChildProcess {
 public:
  ChildProcess() noexcept = default;
  ChildProcess(pid_t pid, UniqueFd pidfd) noexcept : pid_(pid), pidfd_(std::move(pidfd)) {}
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] const UniqueFd& pidfd() const noexcept { return pidfd_; }
  [[nodiscard]] Result<void> Kill() const;
  // Blocks until it ended; the status as wait(2). It is then no longer owned.
  [[nodiscard]] Result<int> Wait();

 private:
  pid_t pid_ = -1;
  UniqueFd pidfd_;
};

}  // namespace cellrun::sys
