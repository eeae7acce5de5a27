// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>
#include <sys/uio.h>
#include <sys/user.h>

#include <cstddef>
#include <span>

#include "lib/base/result.h"

// ptrace(2) and process_vm_readv(2). An attachment belongs to the thread that made it.
namespace cellrun::sys {

Result<void> PtraceSeize(pid_t tid, unsigned long options);
Result<void> PtraceInterrupt(pid_t tid);
Result<void> PtraceDetach(pid_t tid, int signal);
// Resumes a stopped tracee until it enters or leaves a system call (PTRACE_SYSCALL); `signal` is
// delivered first, 0 for none.
Result<void> PtraceSyscall(pid_t tid, int signal);
// Of a tracee in a system call stop: whether it is entering (PTRACE_GET_SYSCALL_INFO, 5.3).
Result<bool> PtraceAtSyscallEntry(pid_t tid);
Result<unsigned long> PtraceGetEventMessage(pid_t tid);
Result<user_regs_struct> PtraceGetRegisters(pid_t tid);
Result<void> PtraceSetRegisters(pid_t tid, const user_regs_struct& registers);

// Bytes read; fewer than asked for when a page in between cannot be read. EFAULT: not even the
// first.
Result<std::size_t> ProcessVmReadv(pid_t tid, std::span<const iovec> local,
                                   std::span<const iovec> remote);

}  // namespace cellrun::sys
