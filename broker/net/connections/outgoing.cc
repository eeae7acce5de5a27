// SPDX-License-Identifier: Apache-2.0
#include "broker/net/connections/outgoing.h"

#include <netinet/in.h>

#include <utility>

#include "lib/sys/internet.h"
#include "lib/sys/socket.h"

namespace cellrun::net {
namespace {

constexpr char kHost[] = "host";
constexpr std::string_view kOtherCell = "host.cell/";

Address Loopback6() {
  Address address{.bytes = {}, .ipv6 = true};
  address.bytes.back() = 1;
  return address;
}

// Families in turn, so that one that leads nowhere costs one try.
std::vector<Endpoint> InTurn(const std::vector<Address>& addresses, std::uint16_t port) {
  std::vector<Endpoint> six, four, turn;
  for (const Address& address : addresses)
    (address.ipv6 ? six : four).push_back({.address = address, .port = port});
  for (std::size_t i = 0; i < std::max(six.size(), four.size()); ++i) {
    if (i < six.size()) turn.push_back(six[i]);
    if (i < four.size()) turn.push_back(four[i]);
  }
  return turn;
}

// Packets to an address of this machine leave from it. Connecting a datagram socket sends nothing.
// The error is that there are no descriptors to find out.
Result<bool> IsOfThisMachine(const Address& address) {
  Result<UniqueFd> made =
      sys::InternetSocket(address.ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK);
  if (!made.ok() && made.error().code() != EAFNOSUPPORT) return made.error();
  constexpr std::uint16_t kAnyPort = 9;
  const SocketAddress to = SocketAddressOf({.address = address, .port = kAnyPort});
  if (!made.ok() || !sys::ConnectInternet(*made, to.get(), to.size).ok()) return false;  // no way
  const sockaddr_storage from = TRY(sys::LocalAddress(*made));
  const auto source = EndpointOf({reinterpret_cast<const char*>(&from), sizeof from});
  return source && source->address == Canonical(address);
}

// The first that there is a way to; whether anybody is there, datagrams do not tell.
Result<Dial::Made> ConnectDatagrams(const std::vector<Endpoint>& to) {
  int code = EHOSTUNREACH;
  for (const Endpoint& endpoint : to) {
    Result<UniqueFd> made =
        sys::InternetSocket(endpoint.address.ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK);
    if (!made.ok()) {  // a host without that family
      code = made.error().code() == EAFNOSUPPORT ? ENETUNREACH : made.error().code();
      continue;
    }
    const SocketAddress address = SocketAddressOf(endpoint);
    const Result<void> connected = sys::ConnectInternet(*made, address.get(), address.size);
    if (connected.ok()) return Dial::Made{.socket = std::move(*made), .to = endpoint};
    code = connected.error().code();
  }
  return Error(code, "connect");
}

}  // namespace

std::shared_ptr<Outgoing> Outgoing::Make(Means means, Target target) {
  return std::make_shared<Outgoing>(std::move(means), std::move(target));
}

Outgoing::Outgoing(Means means, Target target)
    : means_(std::move(means)), target_(std::move(target)) {}

Outgoing::~Outgoing() {
  if (handshake_ != nullptr) handshake_->Cancel();
}

void Outgoing::Start() {
  const std::string& host = target_.destination.host;
  const std::uint16_t port = target_.endpoint.port;
  if (host == kHost) {
    return DialAll(
        {{.address = Ipv4(INADDR_LOOPBACK), .port = port}, {.address = Loopback6(), .port = port}});
  }
  if (host.starts_with(kOtherCell)) return JoinCell(host.substr(kOtherCell.size()));
  if (LeavesByProxy()) return FindProxy();
  if (const auto address = ParseAddress(host)) return DialLiteral(*address);
  Resolve(host, &Outgoing::OnResolved);
}

void Outgoing::Resolve(const std::string& name,
                       void (Outgoing::*resolved)(Result<std::vector<Address>> addresses)) {
  if (means_.resolve == nullptr) return End(Error(EHOSTUNREACH, "resolve"));
  means_.resolve(
      name, [&reactor = means_.reactor, weak = weak_from_this(), resolved](Resolution found) {
        reactor.Post([weak, resolved, held = std::make_shared<Resolution>(std::move(found))] {
          const auto self = weak.lock();
          if (!self) return;
          self->resolver_ = std::move(held->resolver);
          ((*self).*resolved)(std::move(held->addresses));
        });
      });
}

// What a cell publishes is TCP.
void Outgoing::JoinCell(const std::string& name) {
  if (means_.reach_cell == nullptr || target_.destination.protocol == Protocol::kUdp)
    return End(Error(EHOSTUNREACH, "connect"));
  means_.reach_cell(
      name, target_.endpoint.port, means_.who,
      [&reactor = means_.reactor, weak = weak_from_this()](Result<Dial::Made> made) {
        reactor.Post([weak, held = std::make_shared<Result<Dial::Made>>(std::move(made))] {
          if (const auto self = weak.lock()) self->End(std::move(*held));
        });
      });
}

// A person who let the name out has let out what it resolves to, as far as no rule denies that.
std::optional<Verdict> Outgoing::WhyNot(const Address& address, bool own) const {
  Verdict verdict = means_.judge->MayDial(target_.destination, address, own);
  if (verdict.action == policy::Action::kAllow ||
      (verdict.action == policy::Action::kAsk && target_.verdict.action == policy::Action::kAsk))
    return std::nullopt;
  return verdict;
}

void Outgoing::OnResolved(Result<std::vector<Address>> addresses) {
  if (result_.has_value()) return;  // cancelled
  if (!addresses.ok()) return End(addresses.error());
  std::vector<Address> allowed;
  for (const Address& address : *addresses) {
    const Result<bool> own = IsOfThisMachine(address);
    if (!own.ok()) return End(own.error());
    if (std::optional<Verdict> verdict = WhyNot(address, *own)) {
      refused_ = Refused{address, std::move(*verdict)};
    } else {
      allowed.push_back(address);
      judged_[address] = *own;
    }
  }
  if (!allowed.empty()) refused_.reset();
  if (allowed.empty())
    return End(Error(addresses->empty() ? EHOSTUNREACH : EACCES, "", "no address may be dialled"));
  DialAll(InTurn(allowed, target_.endpoint.port));
}

// The program's own word for it has been judged; that it is of this machine is not in that.
void Outgoing::DialLiteral(const Address& address) {
  const Result<bool> own = IsOfThisMachine(address);
  if (!own.ok()) return End(own.error());
  if (*own) {
    judged_[address] = true;
    if (std::optional<Verdict> verdict = WhyNot(address, true)) {
      refused_ = Refused{address, std::move(*verdict)};
      return End(Error(EACCES, "", "it may not be dialled"));
    }
  }
  DialAll({target_.endpoint});
}

void Outgoing::DialAll(std::vector<Endpoint> to) {
  if (target_.destination.protocol == Protocol::kUdp) return End(ConnectDatagrams(to));
  dial_ = Dial::Make(means_.reactor, std::move(to), [weak = weak_from_this()](auto made) {
    if (const auto self = weak.lock()) self->End(std::move(made));
  });
  dial_->Start();
}

// ---- Through a proxy.

// This machine and private networks, which a rule has named, are reached directly; so is UDP.
bool Outgoing::LeavesByProxy() const {
  if (means_.proxy == nullptr || target_.destination.protocol == Protocol::kUdp) return false;
  const auto address = ParseAddress(target_.destination.host);
  return !address || ReachOf(*address) == Reach::kPublic;
}

void Outgoing::FindProxy() {
  means_.proxy->Take([&reactor = means_.reactor,
                      weak = weak_from_this()](const Result<ProxyAccess::Known>& proxy) {
    reactor.Post([weak, proxy] {
      if (const auto self = weak.lock()) self->OnProxy(proxy);
    });
  });
}

void Outgoing::OnProxy(const Result<ProxyAccess::Known>& proxy) {
  if (result_.has_value()) return;  // cancelled
  if (!proxy.ok()) return End(Error(EACCES, "proxy"));
  proxy_ = *proxy;
  if (proxy_->host == kHost) {
    return DialProxy({{.address = Ipv4(INADDR_LOOPBACK), .port = proxy_->port},
                      {.address = Loopback6(), .port = proxy_->port}});
  }
  if (const auto address = ParseAddress(proxy_->host))
    return DialProxy({{.address = *address, .port = proxy_->port}});
  Resolve(proxy_->host, &Outgoing::OnProxyResolved);
}

void Outgoing::OnProxyResolved(Result<std::vector<Address>> addresses) {
  if (result_.has_value()) return;
  if (!addresses.ok() || addresses->empty()) return End(Error(EHOSTUNREACH, "proxy"));
  DialProxy(InTurn(*addresses, proxy_->port));
}

void Outgoing::DialProxy(std::vector<Endpoint> to) {
  dial_ = Dial::Make(means_.reactor, std::move(to), [weak = weak_from_this()](auto made) {
    if (const auto self = weak.lock()) self->OnProxyDialled(std::move(made));
  });
  dial_->Start();
}

// What is sent is what was judged. That the proxy cannot be reached is not the destination's doing.
void Outgoing::OnProxyDialled(Result<Dial::Made> made) {
  if (!made.ok()) return End(Error(EHOSTUNREACH, "proxy"));
  handshake_ = std::make_shared<Handshake>(
      means_.reactor, std::move(made->socket),
      Dialogue::Make(proxy_, target_.destination.host, target_.endpoint.port),
      [weak = weak_from_this(), to = made->to](Result<UniqueFd> socket) {
        const auto self = weak.lock();
        if (!self) return;
        if (!socket.ok()) return self->End(socket.error());
        self->End(
            Dial::Made{.socket = std::move(*socket), .to = to, .lease = nullptr, .by_proxy = true});
      });
  handshake_->Start();
}

void Outgoing::End(Result<Dial::Made> result) {
  if (result_.has_value()) return;
  if (result.ok()) result->resolver = resolver_;
  if (const auto judged = judged_.find(result.ok() ? result->to.address : Address());
      result.ok() && !result->by_proxy && judged != judged_.end())
    result->judged = Dial::Judged{.address = judged->first, .own = judged->second};
  result_.emplace(std::move(result));
  if (const auto over = std::exchange(over_, nullptr)) over();
}

void Outgoing::WhenOver(std::function<void()> over) {
  if (result_.has_value()) return over();
  over_ = std::move(over);
}

Result<Dial::Made> Outgoing::Take() {
  Result<Dial::Made> taken = std::move(*result_);
  result_.emplace(Error(ECANCELED, "connect"));
  return taken;
}

void Outgoing::Cancel() {
  over_ = nullptr;
  if (dial_ != nullptr) dial_->Cancel();
  dial_.reset();
  if (handshake_ != nullptr) handshake_->Cancel();
  handshake_.reset();
  if (!result_.has_value()) result_.emplace(Error(ECANCELED, "connect"));
}

}  // namespace cellrun::net
