// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

#include "lib/policy/network_policy.h"
#include "lib/policy/profile.h"

namespace cellrun::groups {

// Where the configuration of package managers is looked for.
struct Host {
  std::string home;    // of the user whose cell it is; "" for none
  std::string root{};  // in front of every system path; "" but in tests
};

// The built-in groups that the rules of a profile name, without '@'.
std::set<std::string> UsedGroups(const policy::Profile& profile);

// The members of @apt, @npm, @pip, @cargo and @go, "HOST:PORT" each: the package sources that this
// host's own files name (the system's and the user's, never a project's), and where they name none,
// those that the installed package manager has built in, as its files say. A group of which nothing
// is known is absent. A file that cannot be read or is no configuration counts as empty.
policy::GroupMembers ReadHostGroups(const Host& host, const std::set<std::string>& wanted);
// What a profile needs; empty where it names no such group.
policy::GroupMembers ReadHostGroups(const Host& host, const policy::Profile& profile);

// The network policy of a profile, with what its groups stand for on this host now. `home`: of the
// user whose cell it is.
policy::Checked<policy::NetworkPolicy> CompileNetwork(const policy::Profile& profile,
                                                      const std::string& home);

}  // namespace cellrun::groups
