// SPDX-License-Identifier: Apache-2.0
#include "broker/net/connections/dial.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lib/sys/internet.h"
#include "lib/wire/gateway.h"

namespace cellrun::net {
namespace {

constexpr std::chrono::milliseconds kStagger{250};

// 0, EINPROGRESS or what went wrong.
int Begin(const UniqueFd& socket, const Endpoint& to) {
  const SocketAddress address = SocketAddressOf(to);
  if (connect(socket.get(), address.get(), address.size) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  // On the host's own loopback it has come about already, or failed, which a second call tells.
  if (connect(socket.get(), address.get(), address.size) == 0) return 0;
  return errno == EALREADY ? EINPROGRESS : errno;
}

void SetOptions(const UniqueFd& socket) {
  // Bytes leave as the program sends them: what it wanted gathered, its own socket has gathered.
  constexpr int kOn = 1;
  (void)setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &kOn, sizeof kOn);
  // A peer that has vanished ends the connection, whatever the program asked for on its side.
  (void)setsockopt(socket.get(), SOL_SOCKET, SO_KEEPALIVE, &kOn, sizeof kOn);
}

// For the next AtOnce of this thread.
thread_local UniqueFd spare;

}  // namespace

class Dial::Try : public Source {
 public:
  Try(Dial& dial, UniqueFd made, const Endpoint& where)
      : socket(std::move(made)), to(where), dial_(&dial) {}
  void OnReady(int /*fd*/, std::uint32_t /*events*/) override {
    int code = 0;
    socklen_t length = sizeof code;
    if (getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &code, &length) != 0) code = errno;
    dial_->OnTry(*this, code);
  }
  UniqueFd socket;
  const Endpoint to;

 private:
  Dial* dial_;
};

void Dial::PrepareAtOnce() {
  if (spare.valid()) return;
  Result<UniqueFd> made = sys::InternetSocket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
  if (!made.ok()) return;
  SetOptions(*made);
  (void)sys::SetCongestionControl(*made, &wire::kCongestionControl[0]);
  spare = std::move(*made);
}

std::optional<Dial::Made> Dial::AtOnce(std::uint16_t port) {
  PrepareAtOnce();
  UniqueFd socket = std::move(spare);
  const Endpoint to{.address = Ipv4(INADDR_LOOPBACK), .port = port};
  if (!socket.valid() || Begin(socket, to) != 0) return std::nullopt;
  return Made{.socket = std::move(socket), .to = to};
}

std::shared_ptr<Dial> Dial::Make(Reactor& reactor, std::vector<Endpoint> to, Done done,
                                 MakeSocket make) {
  return std::make_shared<Dial>(reactor, std::move(to), std::move(done), std::move(make));
}

Dial::Dial(Reactor& reactor, std::vector<Endpoint> to, Done done, MakeSocket make)
    : reactor_(reactor),
      to_(std::move(to)),
      done_(std::move(done)),
      make_(std::move(make)),
      last_code_(EHOSTUNREACH) {}

Dial::~Dial() {
  Clear();
}

void Dial::Start() {
  Next();
}

void Dial::Cancel() {
  done_ = nullptr;
  Clear();
}

void Dial::Clear() {
  if (stagger_ != 0) reactor_.Cancel(stagger_);
  stagger_ = 0;
  for (const std::shared_ptr<Try>& tried : tries_) reactor_.Forget(tried->socket.get());
  tries_.clear();
}

void Dial::Note(int code) {
  const bool no_way = code == ENETUNREACH || code == EAFNOSUPPORT || code == EADDRNOTAVAIL;
  if (no_way && tried_) return;
  tried_ = !no_way;
  // The program has a socket of that family: it is the network that is not there.
  last_code_ = code == EAFNOSUPPORT ? ENETUNREACH : code;
}

void Dial::Next() {
  const std::shared_ptr<Dial> self = shared_from_this();
  while (next_ < to_.size()) {
    const Endpoint& to = to_[next_++];
    const int family = to.address.ipv6 ? AF_INET6 : AF_INET;
    Result<UniqueFd> socket =
        make_ ? make_(family) : sys::InternetSocket(family, SOCK_STREAM | SOCK_NONBLOCK);
    if (!socket.ok()) {
      Note(socket.error().code());
      continue;
    }
    UniqueFd made = std::move(*socket);
    SetOptions(made);
    if (ReachOf(to.address) == Reach::kLoopback)
      (void)sys::SetCongestionControl(made, &wire::kCongestionControl[0]);
    const int code = Begin(made, to);
    if (code == 0) return Finish(Made{.socket = std::move(made), .to = to});
    if (code != EINPROGRESS) {
      Note(code);
      continue;
    }
    auto tried = std::make_shared<Try>(*this, std::move(made), to);
    const Result<void> watched = reactor_.Watch(tried->socket.get(), EPOLLOUT, tried);
    if (!watched.ok()) {
      Note(watched.error().code());
      continue;
    }
    tries_.push_back(std::move(tried));
    if (next_ < to_.size()) {
      stagger_ = reactor_.After(kStagger, [weak = weak_from_this()] {
        if (const auto dial = weak.lock()) {
          dial->stagger_ = 0;
          dial->Next();
        }
      });
    }
    return;
  }
  if (tries_.empty()) Finish(Error(last_code_, "connect"));
}

void Dial::OnTry(Try& tried, int code) {
  const std::shared_ptr<Dial> self = shared_from_this();
  reactor_.Forget(tried.socket.get());
  if (code == 0) {
    Made made{.socket = std::move(tried.socket), .to = tried.to};
    std::erase_if(tries_, [&](const auto& one) { return one.get() == &tried; });
    return Finish(std::move(made));
  }
  Note(code);
  std::erase_if(tries_, [&](const auto& one) { return one.get() == &tried; });
  if (stagger_ != 0) reactor_.Cancel(stagger_);
  stagger_ = 0;
  Next();
}

void Dial::Finish(Result<Made> result) {
  const Done done = std::exchange(done_, nullptr);
  Clear();
  if (done) done(std::move(result));
}

}  // namespace cellrun::net
