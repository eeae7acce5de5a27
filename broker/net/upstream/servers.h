// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "broker/net/address/address.h"

namespace cellrun::net {

// The `nameserver` lines of a resolv.conf(5), the first three; none: this machine, as libc takes
// it. Nothing else of it counts: names are asked for as they are, without a search list.
std::vector<Endpoint> ServersIn(std::string_view resolv_conf);
// The same of a file; an unreadable one is empty.
std::vector<Endpoint> ServersOfFile(const std::string& path);
// Addresses, perhaps with ports, as `network.dns.upstream` has them.
std::vector<Endpoint> ServersAt(const std::vector<std::string>& addresses);
// As a profile writes them, with ", " between.
std::string ServersText(const std::vector<Endpoint>& servers);

}  // namespace cellrun::net
