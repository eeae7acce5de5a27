// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include "lib/base/result.h"

// ptrace(2) and process_vm_readv(2). An attachment belongs to the thread that made it.
namespace cellrun::sys {

Result<void> PtraceSeize(pid_t tid, unsigned long options);
Result<void> PtraceInterrupt(pid_t tid);
Result<void> PtraceDetach(pid_t tid, int signal);
Result<unsigned long> PtraceGetEventMessage(pid_t tid);
Result<user_regs_struct> PtraceGetRegisters(pid_t tid);
Result<void> PtraceSetRegisters(pid_t tid, const user_regs_struct& registers);

}  // namespace cellrun::sys
