// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "broker/journal/record.h"
#include "broker/net/address/address.h"
#include "broker/net/judge/egress_judge.h"

namespace cellrun::net {

// The cell that connects, as its records say it.
struct CellIdentity {
  std::string id, name, profile, workspace, user;
  std::uint32_t inside_uid = 0;
  // Of a ghost: the cell whose command it runs, and the number of that command's record.
  std::string ghost_of = {};
  std::uint64_t exec = 0;
};

// The process that connects. Nothing is known of one that raced past the check.
struct Origin {
  pid_t pid = 0;    // in the broker's pid namespace
  std::string exe;  // canonical
};

// Where a connection goes: what the kernel was told, and what that means.
struct Target {
  Endpoint endpoint;
  Destination destination;  // the name whose address it is, `host`, or the address itself
  Verdict verdict;

  [[nodiscard]] std::string ToString() const;  // "git.example.com:443", "192.0.2.1:53/udp"
};

// `detail` of a record of that cell: these members ("{…}" or nothing), and whose command it runs.
std::string DetailOf(const CellIdentity& cell, const nlohmann::json& members);
// The members that say whom the name's addresses are from; none for "".
nlohmann::json ResolverMember(const std::string& resolver);
// Why the policy of that cell refuses a destination, and, where no rule does, which would let it
// out.
std::string RefusalOf(const CellIdentity& cell, const Verdict& verdict,
                      const Destination& destination);
// A record of it, without a result.
journal::Record RecordOf(const CellIdentity& cell, const Origin& origin, const Target& target);

std::string ToString(const Destination& destination);  // "[::1]:443", "192.0.2.1:53/udp"
const char* ProtocolName(Protocol protocol);           // "tcp" "udp"

}  // namespace cellrun::net
