// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/seccomp.h>

#include <cstdint>

#include "lib/base/result.h"

namespace cellrun::exec {

// The arguments of execve and execveat in one form. Registers only.
struct ExecCall {
  int directory = -100;  // AT_FDCWD
  std::uint64_t path = 0, argv = 0, env = 0;
  unsigned flags = 0;
  [[nodiscard]] bool check_only() const;
  // EINVAL: flags that no kernel knows.
  static Result<ExecCall> Of(const seccomp_data& data);
};

}  // namespace cellrun::exec
