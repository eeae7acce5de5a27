// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "broker/net/address/address.h"
#include "lib/policy/network_policy.h"

namespace cellrun::net {

using policy::Destination;
using policy::Opening;
using policy::Protocol;
using policy::Verdict;

// The network policy that is in force for one cell, replaceable while it runs: each question is
// answered by one whole policy. Thread-safe; nobody waits for longer than a pointer takes to copy.
class EgressJudge {
 public:
  explicit EgressJudge(std::shared_ptr<const policy::NetworkPolicy> policy);

  // From now on; `generation` tells whoever keeps something that a verdict allowed.
  void Replace(std::shared_ptr<const policy::NetworkPolicy> policy);
  // Counts replacements.
  [[nodiscard]] std::uint64_t generation() const { return generation_.load(); }
  [[nodiscard]] std::shared_ptr<const policy::NetworkPolicy> policy() const;

  // The destination as the program named it: a name (Names::NameOf of the address that it
  // connected to), `host`, or an address.
  [[nodiscard]] Verdict Decide(const Destination& destination) const;
  // Whether any rule or person could let this name out, on whichever port: such a name gets
  // addresses. A wildcard does not make its neighbours exist: `example.com` does not open
  // `www.example.com`.
  [[nodiscard]] bool MightAllow(std::string_view name) const {
    return OpeningOf(name) != Opening::kClosed;
  }
  [[nodiscard]] Opening OpeningOf(std::string_view name) const;
  // The second judgement, on the address that would be dialled: it must be this one then. Allow
  // where no address rule objects; an ask asks a person unless the name's verdict has done so.
  // `own`: it is an address of this machine, whatever range it is in.
  [[nodiscard]] Verdict MayDial(const Destination& named, const Address& resolved,
                                bool own = false) const;

 private:
  std::shared_ptr<const policy::NetworkPolicy> policy_;  // by atomic operations only
  std::atomic<std::uint64_t> generation_{0};
};

// A name of DNS as policies write it: `host` and names stay, `NAME.host.cell` is another cell's
// published port, `host.cell/NAME`. Nothing for what is no host name.
std::optional<std::string> HostOfName(std::string_view name);

}  // namespace cellrun::net
