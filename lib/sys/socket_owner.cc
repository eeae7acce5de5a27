// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/socket_owner.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>

#include <cstring>

#include "lib/base/unique_fd.h"

namespace cellrun::sys {
namespace {

struct Question {
  nlmsghdr header;
  inet_diag_req_v2 request;
};
struct Answer {
  nlmsghdr header;
  union {
    nlmsgerr error;
    inet_diag_msg socket;
  };
  char attributes[512];
};

// Both are in network order already.
void Put(const sockaddr_storage& from, __be16& port, __be32 (&address)[4]) {
  if (from.ss_family == AF_INET6) {
    const auto& six = reinterpret_cast<const sockaddr_in6&>(from);
    port = six.sin6_port;
    memcpy(&address[0], &six.sin6_addr, sizeof six.sin6_addr);
    return;
  }
  const auto& four = reinterpret_cast<const sockaddr_in&>(from);
  port = four.sin_port;
  memcpy(&address[0], &four.sin_addr, sizeof four.sin_addr);
}

}  // namespace

Result<uid_t> SocketOwner(const sockaddr_storage& local, const sockaddr_storage& remote) {
  const UniqueFd netlink(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!netlink.valid()) return ErrnoError("socket(NETLINK_SOCK_DIAG)");
  Question question{};
  question.header.nlmsg_len = sizeof question;
  question.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  question.header.nlmsg_flags = NLM_F_REQUEST;  // without NLM_F_DUMP: exactly this one
  question.request.sdiag_family = static_cast<__u8>(local.ss_family);
  question.request.sdiag_protocol = IPPROTO_TCP;
  question.request.idiag_states = ~0U;
  inet_diag_sockid& id = question.request.id;
  Put(local, id.idiag_sport, id.idiag_src);
  Put(remote, id.idiag_dport, id.idiag_dst);
  id.idiag_cookie[0] = id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  if (send(netlink.get(), &question, sizeof question, 0) < 0) return ErrnoError("send");
  // The kernel answers while it takes the question.
  Answer answer{};
  const ssize_t got = recv(netlink.get(), &answer, sizeof answer, MSG_DONTWAIT);
  if (got < 0) return ErrnoError("recv");
  const auto bytes = static_cast<std::size_t>(got);
  if (bytes >= sizeof answer.header + sizeof answer.error &&
      answer.header.nlmsg_type == NLMSG_ERROR)
    return Error(-answer.error.error, "sock_diag");
  if (bytes < sizeof answer.header + sizeof answer.socket ||
      answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY) {
    return Error(EPROTO, "sock_diag");
  }
  return answer.socket.idiag_uid;
}

}  // namespace cellrun::sys
