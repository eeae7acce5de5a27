// SPDX-License-Identifier: Apache-2.0
#include "broker/net/gateway/socket_stock.h"

#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "lib/sys/process.h"
#include "lib/sys/socket.h"

namespace cellrun::net {
namespace {

constexpr int kLimitMs = 5000;  // somebody may stop the child

struct Form {
  int family, type;
};
constexpr std::array<Form, SocketStock::kKinds> kForms = {
    Form{AF_INET, SOCK_STREAM}, Form{AF_INET6, SOCK_STREAM}, Form{AF_INET, SOCK_DGRAM},
    Form{AF_INET6, SOCK_DGRAM}};

Result<SocketStock::Kind> KindOf(const UniqueFd& made) {
  int family = 0, type = 0;
  socklen_t length = sizeof family;
  if (getsockopt(made.get(), SOL_SOCKET, SO_DOMAIN, &family, &length) != 0)
    return ErrnoError("getsockopt(SO_DOMAIN)");
  length = sizeof type;
  if (getsockopt(made.get(), SOL_SOCKET, SO_TYPE, &type, &length) != 0)
    return ErrnoError("getsockopt(SO_TYPE)");
  for (std::size_t kind = 0; kind < kForms.size(); ++kind) {
    if (kForms.at(kind).family == family && kForms.at(kind).type == type)
      return SocketStock::Kind{kind};
  }
  return Error(EPROTO, "", "a socket of another kind");
}

// In the child: into the gateway, as the owner of its user namespace.
Result<void> SendSockets(const UniqueFd& user, const UniqueFd& network, const Form& form,
                         const UniqueFd& to) {
  TRY(sys::SetNamespace(user, CLONE_NEWUSER));
  TRY(sys::SetNamespace(network, CLONE_NEWNET));
  std::vector<int> made;
  for (std::size_t i = 0; i < sys::kMaxMessageFds; ++i) {
    const int fd = socket(form.family, form.type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 && made.empty()) return ErrnoError("socket");
    if (fd < 0) break;
    made.push_back(fd);
  }
  return sys::SendMessage(to, "s", made);
}

}  // namespace

Result<std::unique_ptr<SocketStock>> SocketStock::Make(UniqueFd user, UniqueFd network,
                                                       std::vector<UniqueFd> first) {
  std::unique_ptr<SocketStock> stock(new SocketStock(std::move(user), std::move(network)));
  for (UniqueFd& made : first) {
    const Kind kind = TRY(KindOf(made));
    stock->sockets_.at(static_cast<std::size_t>(kind)).push_back(std::move(made));
  }
  return stock;
}

Result<UniqueFd> SocketStock::Take(Kind kind) {
  const std::lock_guard lock(mutex_);
  std::vector<UniqueFd>& sockets = sockets_.at(static_cast<std::size_t>(kind));
  if (sockets.empty()) sockets = TRY(MakeMore(kind));
  UniqueFd taken = std::move(sockets.back());
  sockets.pop_back();
  return taken;
}

Result<std::vector<UniqueFd>> SocketStock::MakeMore(Kind kind) const {
  auto [ours, theirs] = TRY(sys::SocketPair(SOCK_SEQPACKET));
  // fork(3) rather than clone3: it leaves the allocator usable in the child of a process with
  // threads, and entering a user namespace takes a process of one thread.
  const pid_t pid = fork();
  if (pid < 0) return ErrnoError("fork");
  if (pid == 0) {
    const Result<void> sent =
        SendSockets(user_, network_, kForms.at(static_cast<std::size_t>(kind)), theirs);
    _exit(sent.ok() ? 0 : sent.error().code());
  }
  theirs.Reset();
  Result<UniqueFd> pidfd = sys::PidfdOpen(pid);  // not reaped yet, so it is this child
  sys::ChildProcess child(pid, pidfd.ok() ? std::move(*pidfd) : UniqueFd());
  pollfd wait{.fd = ours.get(), .events = POLLIN, .revents = 0};
  if (poll(&wait, 1, kLimitMs) <= 0) return Error(ETIMEDOUT, "poll");  // the child is killed
  sys::Message message = TRY(sys::ReceiveMessage(ours, 1, MSG_DONTWAIT));
  const Result<int> status = child.Wait();
  if (message.fds.empty()) {
    const bool told = status.ok() && WIFEXITED(*status) && WEXITSTATUS(*status) != 0;
    return Error(told ? WEXITSTATUS(*status) : ECHILD, "making sockets in the gateway");
  }
  return std::move(message.fds);
}

}  // namespace cellrun::net
