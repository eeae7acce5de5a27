// SPDX-License-Identifier: Apache-2.0
// What is judged is what is asked for and dialled: a text that policy takes for a host name is the
// same name on the wire and back, one that it takes for an address is what inet_pton reads and
// nothing that inet_aton reads otherwise; nobody but an address in a rule lets a private one out.
#include <arpa/inet.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "broker/net/message/message.h"
#include "lib/base/check.h"
#include "lib/policy/network_match.h"
#include "lib/policy/network_policy.h"

using namespace cellrun;

namespace {

policy::NetworkPolicy AllowAll() {
  policy::Profile profile;
  profile.network_default.value = policy::Action::kAllow;
  auto compiled = policy::NetworkPolicy::Compile(profile);
  CHECK(compiled.ok());
  return std::move(compiled.value());
}

void CheckName(const policy::NetworkTarget& target) {
  in_addr address{};
  CHECK(target.name.find('\0') == std::string::npos);
  CHECK(inet_aton(target.name.c_str(), &address) == 0);
  const auto query = net::ReadQuery(net::WriteQuestion(1, target.name, net::type::kA));
  CHECK(query && query->name == target.name);
  const auto again = policy::ReadHost(target.name);
  CHECK(again.ok() && again->name == target.name);
}

void CheckAddress(const policy::NetworkTarget& target, std::string_view text) {
  const policy::Address address = policy::AddressOf(target);
  CHECK(policy::ParseAddress(policy::FormatAddress(address)) == address);
  static const policy::NetworkPolicy open = AllowAll();
  const policy::Destination destination{.host = std::string(text), .port = 80};
  const bool leaves = open.Decide(destination).action == policy::Action::kAllow;
  CHECK(leaves == (policy::ReachOf(address) == policy::Reach::kPublic));
  in_addr plain{};
  const std::string terminated(text);
  if (terminated.size() == text.size() && inet_aton(terminated.c_str(), &plain) != 0) {
    CHECK(!address.ipv6 && policy::Ipv4Number(address) == ntohl(plain.s_addr));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)net::ReverseAddress(text);
  (void)policy::ParseDestination(text);
  (void)policy::ParseEndpoint(text);
  const auto target = policy::ReadHost(text);
  if (!target.ok()) return 0;
  if (target->kind == policy::NetworkTarget::Kind::kName) CheckName(*target);
  if (target->kind == policy::NetworkTarget::Kind::kBlock) CheckAddress(*target, text);
  return 0;
}
