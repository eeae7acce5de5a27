// SPDX-License-Identifier: Apache-2.0
#include "tests/support/network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstring>
#include <span>

#include "lib/sys/file.h"
#include "lib/sys/route.h"
#include "lib/sys/socket.h"

namespace cellrun::test {
namespace {

constexpr int kLoopback = 1;  // the index of `lo`

struct Order {
  int type = 0;
  sockaddr_storage address{};
  socklen_t size = 0;
};

// Its bytes in network order; none: it is no address.
std::vector<std::uint8_t> Bytes(const std::string& address) {
  std::array<std::uint8_t, 16> bytes{};
  if (inet_pton(AF_INET, address.c_str(), bytes.data()) == 1)
    return {bytes.begin(), bytes.begin() + 4};
  if (inet_pton(AF_INET6, address.c_str(), bytes.data()) == 1) return {bytes.begin(), bytes.end()};
  return {};
}

// This user and group, nobody else.
Result<void> StayWhoIAm(uid_t user, gid_t group) {
  const auto self = [](unsigned id) {
    return std::to_string(id) + " " + std::to_string(id) + " 1";
  };
  TRY(sys::WriteExistingFile("/proc/self/setgroups", "deny"));
  TRY(sys::WriteExistingFile("/proc/self/uid_map", self(user)));
  return sys::WriteExistingFile("/proc/self/gid_map", self(group));
}

Result<void> Make(const Network::Shape& shape) {
  const uid_t user = geteuid();
  const gid_t group = getegid();
  const int own = CLONE_NEWNET | CLONE_NEWNS | (user == 0 ? 0 : CLONE_NEWUSER);
  if (unshare(own) != 0) return ErrnoError("unshare");
  if (user != 0) TRY(StayWhoIAm(user, group));
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return ErrnoError("mount /");
  if (!shape.resolv_conf.empty() &&
      mount(shape.resolv_conf.c_str(), "/etc/resolv.conf", nullptr, MS_BIND, nullptr) != 0)
    return ErrnoError("mount /etc/resolv.conf");
  if (!shape.ipv6) {
    // "all" takes effect on those that are there, "default" on those that come.
    for (const char* which : {"all", "default"}) {
      const std::string path = std::string("/proc/sys/net/ipv6/conf/") + which + "/disable_ipv6";
      TRY(sys::WriteExistingFile(path.c_str(), "1"));
    }
  }
  const sys::RouteSocket route = TRY(sys::RouteSocket::Open());
  TRY(route.RaiseLink(kLoopback));
  for (const std::string& address : shape.addresses) {
    const std::vector<std::uint8_t> bytes = Bytes(address);
    TRY(route.AddAddress(kLoopback, bytes, static_cast<int>(bytes.size() * CHAR_BIT))
            .With(address));
  }
  return {};
}

}  // namespace

Network::Network(const Shape& shape) {
  auto [ours, theirs] = sys::SocketPair(SOCK_SEQPACKET).value();
  holder_ = fork();
  if (holder_ == 0) Hold(shape, theirs);
  theirs.Reset();
  orders_ = std::move(ours);
  std::array<char, 256> made{};
  const ssize_t got = read(orders_.get(), made.data(), made.size() - 1);
  if (got != 1) {
    ADD_FAILURE() << "no network of its own: " << made.data();
    return;
  }
  const std::string namespaces = "/proc/" + std::to_string(holder_) + "/ns/";
  const auto open = [&](const char* name) {
    return sys::OpenAt(AT_FDCWD, (namespaces + name).c_str(), O_RDONLY).value();
  };
  if (geteuid() != 0) user_ = open("user");
  network_ = open("net");
  mounts_ = open("mnt");
}

Network::~Network() {
  if (holder_ <= 0) return;
  (void)kill(holder_, SIGKILL);
  (void)waitpid(holder_, nullptr, 0);
}

// Says one byte once everything is there, else what failed; then hands out sockets.
void Network::Hold(const Shape& shape, const UniqueFd& orders) {
  const Result<void> made = Make(shape);
  const std::string answer = made.ok() ? "." : made.error().ToString();
  if (write(orders.get(), answer.data(), answer.size()) < 0 || !made.ok()) _exit(1);
  for (Order order; read(orders.get(), &order, sizeof order) == sizeof order;) {
    const UniqueFd made_socket(socket(order.address.ss_family, order.type | SOCK_CLOEXEC, 0));
    const auto* address = reinterpret_cast<const sockaddr*>(&order.address);
    const bool bound = made_socket.valid() && bind(made_socket.get(), address, order.size) == 0;
    const std::string said = bound ? "." : strerrorname_np(errno);
    const int fd = made_socket.get();
    if (!sys::SendMessage(orders, said, std::span(&fd, bound ? 1 : 0)).ok()) _exit(1);
  }
  _exit(0);
}

UniqueFd Network::Bound(int type, const std::string& address, std::uint16_t port) const {
  Order order{.type = type};
  const std::vector<std::uint8_t> bytes = Bytes(address);
  auto* four = reinterpret_cast<sockaddr_in*>(&order.address);
  auto* six = reinterpret_cast<sockaddr_in6*>(&order.address);
  const bool is_four = bytes.size() == sizeof four->sin_addr;
  if (is_four) {
    std::memcpy(&four->sin_addr, bytes.data(), bytes.size());
  } else {
    std::memcpy(&six->sin6_addr, bytes.data(), bytes.size());
  }
  order.address.ss_family = is_four ? AF_INET : AF_INET6;
  four->sin_port = htons(port);  // at the same place in both
  order.size = is_four ? sizeof *four : sizeof *six;
  if (write(orders_.get(), &order, sizeof order) != sizeof order) {
    ADD_FAILURE() << "the network has gone";
    return UniqueFd();
  }
  constexpr std::size_t kMost = 64;
  Result<sys::Message> answer = sys::ReceiveMessage(orders_, kMost);
  if (!answer.ok() || answer->fds.empty()) {
    ADD_FAILURE() << address << ": " << (answer.ok() ? answer->bytes : answer.error().ToString());
    return UniqueFd();
  }
  return std::move(answer->fds.front());
}

std::function<void()> Network::Enter() const {
  return [user = user_.get(), network = network_.get(), mounts = mounts_.get()] {
    // Entering a mount namespace leads to its root.
    std::array<char, PATH_MAX> here{};
    if (getcwd(here.data(), here.size()) == nullptr) _exit(99);
    if (user >= 0 && setns(user, CLONE_NEWUSER) != 0) _exit(98);
    if (setns(network, CLONE_NEWNET) != 0 || setns(mounts, CLONE_NEWNS) != 0) _exit(97);
    if (chdir(here.data()) != 0) _exit(96);
  };
}

}  // namespace cellrun::test
