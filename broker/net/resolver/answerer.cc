// SPDX-License-Identifier: Apache-2.0
#include "broker/net/resolver/answerer.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

namespace cellrun::net {
namespace {

constexpr std::size_t kStreamBytes = std::numeric_limits<std::uint16_t>::max();
constexpr std::uint32_t kLoopback = 0x7F00'0001;

bool IsLocalhost(std::string_view name) {
  return name == "localhost" || name.ends_with(".localhost");
}

bool IsReverse(std::string_view name) {
  return name == "in-addr.arpa" || name == "ip6.arpa" || name.ends_with(".in-addr.arpa") ||
         name.ends_with(".ip6.arpa");
}

Reply Only(Rcode code) {
  return {.code = code, .addresses = {}, .pointer = ""};
}

Reply AddressesFor(std::uint16_t wanted, const Names::Addresses& addresses) {
  Reply reply;
  if (wanted == type::kA || wanted == type::kAny) reply.addresses.push_back(addresses.ipv4);
  if (wanted == type::kAaaa || wanted == type::kAny) reply.addresses.push_back(addresses.ipv6);
  return reply;
}

Names::Addresses LoopbackAddresses() {
  Names::Addresses addresses{.ipv4 = Ipv4(kLoopback), .ipv6 = {.bytes = {}, .ipv6 = true}};
  addresses.ipv6.bytes.back() = 1;
  return addresses;
}

}  // namespace

std::map<std::string, std::uint64_t> ResolverCounters::Read() const {
  return {{"queries", queries}, {"addresses", addresses},
          {"closed", closed},   {"malformed", malformed},
          {"capped", capped},   {"full", full},
          {"dropped", dropped}, {"streams_closed", streams_closed}};
}

Answerer::Answerer(std::shared_ptr<Names> names, std::shared_ptr<const EgressJudge> judge,
                   ResolverLimits limits, ResolverEvents events)
    : names_(std::move(names)),
      judge_(std::move(judge)),
      limits_(limits),
      events_(std::move(events)),
      new_names_(limits.new_names_per_second, limits.new_names_burst) {}

std::string Answerer::Answer(std::string_view untrusted, Transport transport) {
  const std::optional<Query> query = ReadQuery(untrusted);
  if (!query) {
    ++counters_.malformed;
    return "";
  }
  ++counters_.queries;
  if (query->question.empty()) ++counters_.malformed;
  const std::size_t limit = transport == Transport::kStream ? kStreamBytes : query->udp_bytes;
  return WriteReply(*query, Decide(*query), limit);
}

Reply Answerer::Decide(const Query& query) {
  if (query.opcode != 0) return Only(Rcode::kNotImplemented);
  if (query.question.empty()) return Only(Rcode::kFormat);
  if (query.edns && query.edns_version != 0) return Only(Rcode::kBadVersion);
  const bool transfer = query.type == type::kAxfr || query.type == type::kIxfr;
  const bool foreign = query.dns_class != kInternet && query.dns_class != kAnyClass;
  if (transfer || foreign) return Only(Rcode::kRefused);
  if (query.name == ".") return Only(Rcode::kNoError);
  if (IsLocalhost(query.name)) return AddressesFor(query.type, LoopbackAddresses());
  if (IsReverse(query.name)) return DecideReverse(query);
  return DecideName(query);
}

Reply Answerer::DecideReverse(const Query& query) const {
  const std::optional<Address> address = ReverseAddress(query.name);
  if (!address) return Only(Rcode::kNoName);
  std::optional<std::string> name = names_->NameOf(*address);
  if (!name && ReachOf(*address) == Reach::kLoopback) name = "localhost";
  if (!name) return Only(Rcode::kNoName);
  Reply reply;
  if (query.type == type::kPtr || query.type == type::kAny) reply.pointer = std::move(*name);
  return reply;
}

Reply Answerer::DecideName(const Query& query) {
  const Opening opening = judge_->OpeningOf(query.name);
  if (opening == Opening::kClosed) {
    ++counters_.closed;
    if (events_.refused && !query.name.empty()) events_.refused(query.name);
    return Only(Rcode::kNoName);
  }
  if (opening == Opening::kByPattern && IsTooLong(query.name)) {
    ++counters_.capped;
    return Only(Rcode::kNoName);
  }
  const bool wants_address =
      query.type == type::kA || query.type == type::kAaaa || query.type == type::kAny;
  return wants_address ? GiveAddresses(query, opening) : Only(Rcode::kNoError);
}

Reply Answerer::GiveAddresses(const Query& query, Opening opening) {
  std::optional<Names::Addresses> addresses = names_->Find(query.name);
  if (!addresses) {
    if (opening == Opening::kByPattern && !new_names_.Take(TokenBucket::Clock::now())) {
      ++counters_.capped;
      return Only(Rcode::kServerFailure);
    }
    addresses = names_->Assign(query.name);
  }
  if (!addresses) {
    ++counters_.full;
    return Only(Rcode::kServerFailure);
  }
  if (events_.assigned) events_.assigned(query.name, *addresses);
  ++counters_.addresses;
  return AddressesFor(query.type, *addresses);
}

bool Answerer::IsTooLong(std::string_view name) const {
  const auto dots = static_cast<std::size_t>(std::count(name.begin(), name.end(), '.'));
  return name.size() > limits_.pattern_name_bytes || dots + 1 > limits_.pattern_labels;
}

}  // namespace cellrun::net
