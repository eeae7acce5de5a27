// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/ptrace.h"

#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "lib/sys/returned.h"

namespace cellrun::sys {
Result<void> PtraceSeize(pid_t tid, unsigned long options) {
  return Check(ptrace(PTRACE_SEIZE, tid, nullptr, options), "ptrace(PTRACE_SEIZE)");
}
Result<void> PtraceInterrupt(pid_t tid) {
  return Check(ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr), "ptrace(PTRACE_INTERRUPT)");
}
Result<void> PtraceDetach(pid_t tid, int signal) {
  return Check(ptrace(PTRACE_DETACH, tid, nullptr, static_cast<unsigned long>(signal)),
               "ptrace(PTRACE_DETACH)");
}
Result<void> PtraceSyscall(pid_t tid, int signal) {
  return Check(ptrace(PTRACE_SYSCALL, tid, nullptr, static_cast<unsigned long>(signal)),
               "ptrace(PTRACE_SYSCALL)");
}
Result<bool> PtraceAtSyscallEntry(pid_t tid) {
  // glibc's and the kernel's structure are the same; only `op`, the first member, matters here.
  __ptrace_syscall_info info{};
  TRY(Check(ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info),
            "ptrace(PTRACE_GET_SYSCALL_INFO)"));
  return info.op == PTRACE_SYSCALL_INFO_ENTRY || info.op == PTRACE_SYSCALL_INFO_SECCOMP;
}
Result<unsigned long> PtraceGetEventMessage(pid_t tid) {
  unsigned long message = 0;
  TRY(Check(ptrace(PTRACE_GETEVENTMSG, tid, nullptr, &message), "ptrace(PTRACE_GETEVENTMSG)"));
  return message;
}
Result<user_regs_struct> PtraceGetRegisters(pid_t tid) {
  user_regs_struct registers{};
  iovec area{.iov_base = &registers, .iov_len = sizeof registers};
  TRY(Check(ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &area), "ptrace(PTRACE_GETREGSET)"));
  if (area.iov_len != sizeof registers)
    return Error(EPROTO, "ptrace(PTRACE_GETREGSET)");  // a 32-bit task
  return registers;
}
Result<void> PtraceSetRegisters(pid_t tid, const user_regs_struct& registers) {
  user_regs_struct copy = registers;
  iovec area{.iov_base = &copy, .iov_len = sizeof copy};
  return Check(ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &area), "ptrace(PTRACE_SETREGSET)");
}
Result<std::size_t> ProcessVmReadv(pid_t tid, std::span<const iovec> local,
                                   std::span<const iovec> remote) {
  const ssize_t bytes =
      process_vm_readv(tid, local.data(), local.size(), remote.data(), remote.size(), 0);
  if (bytes < 0) return ErrnoError("process_vm_readv");
  return static_cast<std::size_t>(bytes);
}

}  // namespace cellrun::sys
