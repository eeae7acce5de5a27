// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/exec_call.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include "lib/sys/uapi.h"

namespace cellrun::exec {
namespace {

constexpr unsigned kKnownFlags =
    AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | static_cast<unsigned>(uapi::kAtExecveCheck);

}  // namespace

bool ExecCall::check_only() const {
  return (flags & static_cast<unsigned>(uapi::kAtExecveCheck)) != 0;
}

Result<ExecCall> ExecCall::Of(const seccomp_data& data) {
  if (data.nr == SYS_execve) {
    return ExecCall{.path = data.args[0], .argv = data.args[1], .env = data.args[2]};
  }
  const ExecCall call{.directory = static_cast<int>(data.args[0]),
                      .path = data.args[1],
                      .argv = data.args[2],
                      .env = data.args[3],
                      .flags = static_cast<unsigned>(data.args[4])};
  if ((call.flags & ~kKnownFlags) != 0) return Error(EINVAL, "execveat");
  return call;
}

}  // namespace cellrun::exec
