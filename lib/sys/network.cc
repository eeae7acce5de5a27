// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/network.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

#include "lib/base/unique_fd.h"

namespace cellrun::sys {

Result<void> RaiseLoopback() {
  const UniqueFd any_socket(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!any_socket.valid()) return ErrnoError("socket");
  ifreq loopback{};
  memcpy(&loopback.ifr_name[0], "lo", sizeof "lo");
  loopback.ifr_flags = IFF_UP;
  if (ioctl(any_socket.get(), SIOCSIFFLAGS, &loopback) != 0)
    return ErrnoError("ioctl(SIOCSIFFLAGS)");
  return {};
}

Result<std::uint64_t> NetworkCookie(const UniqueFd& socket) {
  std::uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length) != 0)
    return ErrnoError("getsockopt(SO_NETNS_COOKIE)");
  return cookie;
}

}  // namespace cellrun::sys
