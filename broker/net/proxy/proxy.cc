// SPDX-License-Identifier: Apache-2.0
#include "broker/net/proxy/proxy.h"

#include <string.h>

#include <algorithm>
#include <utility>

#include "lib/policy/address.h"
#include "lib/policy/network_target.h"

namespace cellrun::net {
namespace {

using TargetKind = policy::NetworkTarget::Kind;

}  // namespace

Proxy::~Proxy() {
  explicit_bzero(password.data(), password.size());
}

std::shared_ptr<Proxy> ParseProxy(std::string_view url) {
  auto proxy = std::make_shared<Proxy>();
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return nullptr;
  if (url.substr(0, scheme) == "socks5") {
    proxy->kind = Proxy::Kind::kSocks5;
  } else if (url.substr(0, scheme) != "http") {
    return nullptr;
  }
  std::string_view rest = url.substr(scheme + 3);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const Result<policy::NetworkTarget> target = policy::ParseEndpoint(rest);
  if (!target.ok() || !target->ports || target->ports->first != target->ports->second)
    return nullptr;
  proxy->port = target->ports->first;
  const bool block = target->kind == TargetKind::kBlock;
  if (!block && target->kind != TargetKind::kName && target->kind != TargetKind::kHost)
    return nullptr;
  if (block && target->prefix != (target->ipv6 ? 128 : 32)) return nullptr;
  proxy->host = block ? policy::FormatAddress({.bytes = target->address, .ipv6 = target->ipv6})
                      : target->name;
  if (target->kind == TargetKind::kHost) proxy->host = "host";
  return proxy;
}

Result<void> SetCredentials(Proxy& proxy, std::string_view value) {
  constexpr std::size_t kLongest = 255;  // RFC 1929
  const std::size_t colon = value.find(':');
  const auto bad = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (colon == std::string_view::npos || colon == 0 || colon > kLongest ||
      value.size() - colon - 1 > kLongest || std::any_of(value.begin(), value.end(), bad)) {
    return Error(EINVAL, "", "the proxy's secret is not USER:PASSWORD");
  }
  proxy.user = value.substr(0, colon);
  proxy.password = value.substr(colon + 1);
  return {};
}

void ProxyAccess::Take(Taken taken) {
  std::unique_lock lock(mutex_);
  if (!known_) return waiting_.push_back(std::move(taken));
  const Result<Known> known = *known_;
  lock.unlock();
  taken(known);
}

void ProxyAccess::Set(const Result<Known>& proxy) {
  std::unique_lock lock(mutex_);
  known_.emplace(proxy);
  const std::vector<Taken> waiting = std::exchange(waiting_, {});
  lock.unlock();
  for (const Taken& taken : waiting) taken(proxy);
}

}  // namespace cellrun::net
