// SPDX-License-Identifier: Apache-2.0
#include "lib/groups/host_groups.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <string_view>
#include <vector>

#include "lib/groups/files.h"
#include "lib/groups/sources.h"
#include "lib/policy/value_type.h"

namespace cellrun::groups {
namespace {

struct Reader {
  const char* group;
  Urls (*read)(const Host& host);
};
constexpr std::array kReaders = {Reader{"apt", AptUrls}, Reader{"npm", NpmUrls},
                                 Reader{"pip", PipUrls}, Reader{"cargo", CargoUrls},
                                 Reader{"go", GoUrls}};
constexpr std::size_t kMostMembers = 64;

std::vector<std::string> Members(const Urls& urls) {
  std::vector<std::string> members;
  for (const std::string& url : urls) {
    std::string endpoint = EndpointOfUrl(url);
    const bool known = std::find(members.begin(), members.end(), endpoint) != members.end();
    if (endpoint.empty() || known) continue;
    members.push_back(std::move(endpoint));
    if (members.size() == kMostMembers) break;
  }
  return members;
}

}  // namespace

std::set<std::string> UsedGroups(const policy::Profile& profile) {
  std::set<std::string> used;
  for (const policy::NetworkRule& rule : profile.network_rules) {
    for (const std::string& to : rule.to) {
      const std::string name = to.starts_with('@') ? to.substr(1) : "";
      if (policy::IsBuiltInGroup(name)) used.insert(name);
    }
  }
  return used;
}

policy::GroupMembers ReadHostGroups(const Host& host, const std::set<std::string>& wanted) {
  policy::GroupMembers groups;
  for (const Reader& reader : kReaders) {
    if (!wanted.contains(reader.group)) continue;
    std::vector<std::string> members = Members(reader.read(host));
    if (!members.empty()) groups.emplace(reader.group, std::move(members));
  }
  return groups;
}

policy::GroupMembers ReadHostGroups(const Host& host, const policy::Profile& profile) {
  const std::set<std::string> used = UsedGroups(profile);
  return used.empty() ? policy::GroupMembers() : ReadHostGroups(host, used);
}

policy::Checked<policy::NetworkPolicy> CompileNetwork(const policy::Profile& profile,
                                                      const std::string& home) {
  return policy::NetworkPolicy::Compile(profile, std::chrono::system_clock::now(),
                                        ReadHostGroups(Host{.home = home}, profile));
}

}  // namespace cellrun::groups
