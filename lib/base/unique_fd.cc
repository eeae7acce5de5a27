// SPDX-License-Identifier: Apache-2.0
#include "lib/base/unique_fd.h"

#include <unistd.h>

#include <cerrno>

#include "lib/base/check.h"

namespace cellrun {

void UniqueFd::Reset(int fd) noexcept {
  const int old = std::exchange(fd_, fd);
  if (old < 0) return;
  const int saved = errno;
  if (close(old) != 0) CHECK(errno != EBADF);
  errno = saved;
}

}  // namespace cellrun
