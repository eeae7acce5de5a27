// SPDX-License-Identifier: Apache-2.0
#include "broker/net/connections/outgoing.h"

#include <netinet/in.h>

#include <utility>

#include "lib/sys/internet.h"

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

// The first that there is a way to; whether anybody is there, datagrams do not tell.
Result<Dial::Made> ConnectDatagrams(const std::vector<Endpoint>& to) {
  int code = EHOSTUNREACH;
  for (const Endpoint& endpoint : to) {
    UniqueFd made = TRY(sys::InternetSocket(endpoint.address.ipv6 ? AF_INET6 : AF_INET,
                                            SOCK_DGRAM | SOCK_NONBLOCK));
    const SocketAddress address = SocketAddressOf(endpoint);
    const Result<void> connected = sys::ConnectInternet(made, address.get(), address.size);
    if (connected.ok()) return Dial::Made{.socket = std::move(made), .to = endpoint};
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

Outgoing::~Outgoing() = default;

void Outgoing::Start() {
  const std::string& host = target_.destination.host;
  const std::uint16_t port = target_.endpoint.port;
  if (host == kHost) {
    return DialAll(
        {{.address = Ipv4(INADDR_LOOPBACK), .port = port}, {.address = Loopback6(), .port = port}});
  }
  if (ParseAddress(host).has_value()) return DialAll({target_.endpoint});
  if (host.starts_with(kOtherCell) || means_.resolve == nullptr)
    return End(Error(EHOSTUNREACH, "resolve"));
  means_.resolve(host, [&reactor = means_.reactor,
                        weak = weak_from_this()](Result<std::vector<Address>> addresses) {
    reactor.Post(
        [weak, held = std::make_shared<Result<std::vector<Address>>>(std::move(addresses))] {
          if (const auto self = weak.lock()) self->OnResolved(std::move(*held));
        });
  });
}

// A person who let the name out has let out what it resolves to, as far as no rule denies that.
bool Outgoing::MayDial(const Address& address) const {
  const policy::Action action = means_.judge->MayDial(target_.destination, address).action;
  return action == policy::Action::kAllow ||
         (action == policy::Action::kAsk && target_.verdict.action == policy::Action::kAsk);
}

void Outgoing::OnResolved(Result<std::vector<Address>> addresses) {
  if (result_.has_value()) return;  // cancelled
  if (!addresses.ok()) return End(addresses.error());
  std::vector<Address> allowed;
  for (const Address& address : *addresses) {
    if (MayDial(address)) allowed.push_back(address);
  }
  if (allowed.empty())
    return End(Error(addresses->empty() ? EHOSTUNREACH : EACCES, "", "no address may be dialled"));
  DialAll(InTurn(allowed, target_.endpoint.port));
}

void Outgoing::DialAll(std::vector<Endpoint> to) {
  if (target_.destination.protocol == Protocol::kUdp) return End(ConnectDatagrams(to));
  dial_ = Dial::Make(means_.reactor, std::move(to), [weak = weak_from_this()](auto made) {
    if (const auto self = weak.lock()) self->End(std::move(made));
  });
  dial_->Start();
}

void Outgoing::End(Result<Dial::Made> result) {
  if (result_.has_value()) return;
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
  if (!result_.has_value()) result_.emplace(Error(ECANCELED, "connect"));
}

}  // namespace cellrun::net
