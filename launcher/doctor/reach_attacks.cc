// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <string>

#include "launcher/doctor/attack.h"
#include "lib/base/unique_fd.h"

namespace cellrun::doctor {
namespace {

constexpr int kConnectTimeMs = 1000;

// 0, or the errno.
int TryConnect(const UniqueFd& socket, const sockaddr* address, socklen_t bytes) {
  if (connect(socket.get(), address, bytes) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd wait{.fd = socket.get(), .events = POLLOUT, .revents = 0};
  if (poll(&wait, 1, kConnectTimeMs) <= 0) return ETIMEDOUT;
  int code = 0;
  socklen_t size = sizeof(code);
  if (getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &code, &size) != 0) return errno;
  return code;
}

int TryConnectTcp(in_addr_t address, std::uint16_t port) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return errno;
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = address;
  return TryConnect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
}

AttackResult Judge(int code, const std::string& what) {
  return code == 0 ? Broken(what) : Held("connect: " + ErrnoName(code));
}

AttackResult ReachHost(const AttackPlan& plan) {
  return Judge(TryConnectTcp(htonl(INADDR_LOOPBACK), plan.tcp_port),
               "a listener on the host's 127.0.0.1 answered");
}

AttackResult ReachOutside(const AttackPlan&) {
  // TEST-NET-3: nobody is there, so nothing leaves even if there were a way.
  const int code = TryConnectTcp(inet_addr("203.0.113.1"), 9);
  return code == ETIMEDOUT ? Broken("there is a route to the outside") : Judge(code, "connected");
}

AttackResult SendDatagram(const AttackPlan&) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return Held(ErrnoName(errno));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(9);
  to.sin_addr.s_addr = inet_addr("203.0.113.1");
  const ssize_t sent = sendto(socket.get(), "x", 1, MSG_DONTWAIT,
                              reinterpret_cast<const sockaddr*>(&to), sizeof(to));
  return MustFail(sent, "sendto");
}

AttackResult ReachAbstractSocket(const AttackPlan& plan) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return Held(ErrnoName(errno));
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  const std::size_t length = std::min(plan.abstract_socket.size(), sizeof(to.sun_path) - 1);
  std::memcpy(&to.sun_path[1], plan.abstract_socket.data(), length);
  const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
  return Judge(TryConnect(socket, reinterpret_cast<const sockaddr*>(&to), bytes),
               "an abstract socket of the host answered");
}

AttackResult SeeInterfaces(const AttackPlan&) {
  struct if_nameindex* const names = if_nameindex();
  if (names == nullptr) return Held(ErrnoName(errno));
  std::string others;
  for (const struct if_nameindex* one = names; one->if_name != nullptr; ++one) {
    if (std::string(one->if_name) != "lo") others += std::string(one->if_name) + " ";
  }
  if_freenameindex(names);
  return others.empty() ? Held("only lo") : Broken("interfaces: " + others);
}

AttackResult RawSocket(const AttackPlan&) {
  const UniqueFd packet(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (packet.valid()) return Broken("a packet socket was made");
  const UniqueFd raw(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
  return MustFail(raw.get(), "socket");
}

constexpr std::array kAttacks = {
    Attack{"reach-host", "connect to a service on the host's loopback", ReachHost},
    Attack{"reach-outside", "connect to an address outside", ReachOutside},
    Attack{"send-datagram", "send a datagram outside", SendDatagram},
    Attack{"reach-abstract-socket", "connect to an abstract socket of the host",
           ReachAbstractSocket},
    Attack{"see-interfaces", "find a network interface", SeeInterfaces},
    Attack{"raw-socket", "make a raw or packet socket", RawSocket},
};

}  // namespace

std::span<const Attack> ReachAttacks() {
  return kAttacks;
}

}  // namespace cellrun::doctor
