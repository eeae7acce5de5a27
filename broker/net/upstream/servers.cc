// SPDX-License-Identifier: Apache-2.0
#include "broker/net/upstream/servers.h"

#include <net/if.h>

#include <fstream>
#include <optional>
#include <sstream>

#include "lib/policy/network_match.h"
#include "lib/policy/network_target.h"

namespace cellrun::net {
namespace {

constexpr std::uint16_t kDnsPort = 53;
constexpr std::size_t kMost = 3;  // MAXNS of libc
constexpr std::uint32_t kLoopback = 0x7F00'0001;

// "fe80::1%eth0" names its link.
std::optional<Endpoint> ServerOf(const std::string& text) {
  const std::size_t percent = text.find('%');
  const std::optional<Address> address = ParseAddress(text.substr(0, percent));
  if (!address) return std::nullopt;
  Endpoint server{.address = *address, .port = kDnsPort};
  if (percent != std::string::npos) server.scope = if_nametoindex(text.c_str() + percent + 1);
  return server;
}

}  // namespace

std::vector<Endpoint> ServersIn(std::string_view resolv_conf) {
  std::vector<Endpoint> servers;
  std::istringstream lines{std::string(resolv_conf)};
  for (std::string line; std::getline(lines, line) && servers.size() < kMost;) {
    std::istringstream words(line);
    std::string key, value;
    words >> key >> value;
    if (key != "nameserver") continue;
    if (const auto server = ServerOf(value)) servers.push_back(*server);
  }
  if (servers.empty()) servers.push_back({.address = Ipv4(kLoopback), .port = kDnsPort});
  return servers;
}

std::vector<Endpoint> ServersOfFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return ServersIn(text.str());
}

std::vector<Endpoint> ServersAt(const std::vector<std::string>& addresses) {
  std::vector<Endpoint> servers;
  for (const std::string& text : addresses) {
    const auto target = policy::ParseEndpoint(text);
    if (!target.ok() || target->kind != policy::NetworkTarget::Kind::kBlock) continue;
    servers.push_back({.address = policy::AddressOf(*target),
                       .port = target->ports ? target->ports->first : kDnsPort});
  }
  return servers;
}

std::string ServersText(const std::vector<Endpoint>& servers) {
  std::string text;
  for (const Endpoint& server : servers) {
    std::string one = FormatAddress(server.address);
    if (server.port != kDnsPort) {
      if (server.address.ipv6) one = "[" + one + "]";
      one += ":" + std::to_string(server.port);
    }
    text += (text.empty() ? "" : ", ") + one;
  }
  return text;
}

}  // namespace cellrun::net
