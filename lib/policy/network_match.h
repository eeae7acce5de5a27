// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "lib/policy/address.h"
#include "lib/policy/network_target.h"

namespace cellrun::policy {

// One host, in the form that rules are compared in: a name, `host`, `host.cell/NAME` or an address
// (a block of all its bits). ::ffff:192.0.2.1 is 192.0.2.1 and a name's last dot does not count;
// whatever is neither name nor address is EINVAL.
Result<NetworkTarget> ReadHost(std::string_view host);

// Whether what a rule names (no group) includes this host. `*` includes the host's loopback and
// other cells as well: whether that opens them is for the caller.
bool Reaches(const NetworkTarget& rule, const NetworkTarget& wanted);

Address AddressOf(const NetworkTarget& block);
NetworkTarget TargetOf(const Address& address);
// Whether a rule's block is this range or a part of it.
bool LiesWithin(const NetworkTarget& block, const AddressBlock& range);

bool Contains(const PortRange& range, std::uint16_t port);
// No ranges: every port.
bool PortFits(const std::vector<PortRange>& ranges, std::uint16_t port);

}  // namespace cellrun::policy
