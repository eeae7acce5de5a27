// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace cellrun::policy {

// The entry of `network.dns.split` that a name belongs to, of a map by domain: the longest domain
// that is the name or has it below itself; end() for none. `name` is in lower case, without a last
// dot.
template <typename T>
typename std::map<std::string, T>::const_iterator FindDomain(
    const std::map<std::string, T>& domains, std::string_view name) {
  while (true) {
    const auto found = domains.find(std::string(name));
    if (found != domains.end()) return found;
    const std::size_t dot = name.find('.');
    if (dot == std::string_view::npos) return domains.end();
    name.remove_prefix(dot + 1);
  }
}

}  // namespace cellrun::policy
