// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/policy/request.h"

// What /proc says about a task that waits for an answer. Each of these is only true as long as the
// notification's id is valid: check that (notify::RemoteMemory) after the last of them.
namespace cellrun::exec {

// The thread group; a notification's pid is a thread's number.
Result<pid_t> ThreadGroup(pid_t tid);

// What a task is called in its own pid namespace.
struct InnerIds {
  pid_t tgid = 0, tid = 0;
};
Result<InnerIds> ReadInnerIds(pid_t tid);

// Whether a task calls one of its own process' threads, or the process, by this number.
Result<bool> IsOwnThread(pid_t tid, pid_t inner_number);

// What a process is called in each pid namespace from the one of a procfs to its own, and when it
// started: who it is, whichever procfs is asked.
struct ProcessNumbers {
  std::vector<pid_t> tgids, tids;  // outermost first
  std::uint64_t start_time = 0;
  // Whether `inner`, from the procfs of a namespace further in, is about the same process.
  [[nodiscard]] bool Is(const ProcessNumbers& inner) const;
};
// `directory` is an entry of a procfs, "/proc/123" or AT_FDCWD with a path to one.
Result<ProcessNumbers> ReadProcessNumbers(int directory, const std::string& entry);

// In clock ticks since boot; with the number it names a process for good.
Result<std::uint64_t> StartTime(pid_t pid);
// Whether it has a processor, waits for one or for a disk, or has stopped for its tracer: it
// neither sleeps nor has a signal stopped it.
Result<bool> IsUnderWay(pid_t tid);
// How long it has had a processor. ENOENT: this kernel does not count (CONFIG_SCHED_INFO).
Result<std::chrono::nanoseconds> ProcessorTime(pid_t tid);

// As the cell sees them.
Result<std::string> ReadWorkingDirectory(pid_t tid);
Result<std::string> ReadExecutablePath(pid_t tid);
// Which directory it is, whatever it is called.
Result<policy::FileId> ReadWorkingDirectoryId(pid_t tid);
// The programs of the processes above it, nearest first: at most `limit`, and none above the cell's
// init. Descriptive only: a parent may have gone.
std::vector<std::string> ReadParents(pid_t pid, pid_t init_pid, std::size_t limit);

// What a descriptor of the task refers to, as O_PATH. EBADF: no such descriptor.
Result<UniqueFd> OpenDescriptor(pid_t tid, int number);
// Whether its descriptor 0 is a terminal; false where that cannot be seen.
bool HasTerminal(pid_t tid);

// "/proc/TID/NAME".
std::string ProcPath(pid_t tid, const char* name);

}  // namespace cellrun::exec
