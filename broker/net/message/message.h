// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/net/address/address.h"
#include "lib/base/result.h"

// DNS messages (RFC 1035, 6891) between a cell and its resolver. Any bytes may arrive; reading and
// writing take time and memory linear in a small constant.
namespace cellrun::net {

// Numbers of the IANA registry, as they are on the wire.
namespace type {
inline constexpr std::uint16_t kA = 1, kPtr = 12, kAaaa = 28, kIxfr = 251, kAxfr = 252, kAny = 255;
}
inline constexpr std::uint16_t kInternet = 1, kAnyClass = 255;
enum class Rcode : std::uint8_t {
  kNoError = 0,
  kFormat = 1,
  kServerFailure = 2,
  kNoName = 3,
  kNotImplemented = 4,
  kRefused = 5,
  kBadVersion = 16,  // EDNS
};

inline constexpr std::size_t kMaxQueryBytes = 4096;
inline constexpr std::size_t kUdpBytes = 512;  // without EDNS

struct Query {
  std::uint16_t id = 0;
  bool recursion_desired = false, checking_disabled = false;
  int opcode = 0;
  std::string question;  // as it was sent; empty if there is not exactly one that can be read
  std::string name;      // host name in lower case, "." for the root, "" if it is no host name
  std::uint16_t type = 0, dns_class = 0;
  bool edns = false;
  std::uint8_t edns_version = 0;
  std::size_t udp_bytes = kUdpBytes;  // what the client takes
};

// Nothing: not even a header, or a response; no answer is due. A query without `question` gets
// kFormat.
std::optional<Query> ReadQuery(std::string_view untrusted);

struct Reply {
  Rcode code = Rcode::kNoError;
  std::vector<Address> addresses{};  // A and AAAA records of the name asked for
  std::string pointer{};             // PTR record; "" for none
};

inline constexpr std::uint32_t kAnswerSeconds = 10;   // TTL
inline constexpr std::uint32_t kNegativeSeconds = 1;  // a rule may come at any time

// A reply without records carries an SOA record, as negative answers do (RFC 2308). More than
// `limit_bytes`: a truncated one without records.
std::string WriteReply(const Query& query, const Reply& reply, std::size_t limit_bytes);

// The address that a name below in-addr.arpa or ip6.arpa stands for.
std::optional<Address> ReverseAddress(std::string_view name);

// ---- with the servers of the host

std::string WriteQuestion(std::uint16_t id, std::string_view host_name, std::uint16_t type);

struct Record {
  std::string owner;  // as Query::name
  std::uint32_t ttl_seconds = 0;
  std::optional<Address> address;  // A, AAAA
  std::string alias;               // CNAME
};

struct Response {
  std::uint16_t id = 0;
  Rcode code = Rcode::kNoError;
  bool truncated = false;
  std::string name;  // that was asked for
  std::uint16_t type = 0, dns_class = 0;
  std::vector<Record> records;  // the addresses and aliases among the first kMaxRecords answers
};
inline constexpr std::size_t kMaxRecords = 64;

// EBADMSG: no response to one question, or one that cannot be read.
Result<Response> ReadResponse(std::string_view untrusted);

}  // namespace cellrun::net
