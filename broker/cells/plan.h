// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <vector>

#include "broker/cells/protection.h"
#include "broker/cells/whole_limits.h"
#include "lib/base/result.h"
#include "lib/policy/profile.h"
#include "lib/wire/launch.h"

namespace cellrun::cells {

// Who asked for the cell, from SO_PEERCRED.
struct Caller {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string user;   // name, or the number where there is none
  std::string group;  // likewise
  // The one user of its cells, as they see it.
  [[nodiscard]] std::string user_inside() const { return uid == 0 ? "cell" : user; }
};

// Where a ghost has the secrets that are files.
inline constexpr char kSecretsDirectory[] = "/run/secrets";

// Overwritten when it goes.
struct SecretFile {
  std::string name, contents;
  ~SecretFile();
  SecretFile(std::string name, std::string contents);
  SecretFile(SecretFile&&) noexcept = default;
  SecretFile& operator=(SecretFile&&) noexcept = default;
  SecretFile(const SecretFile&) = delete;
  SecretFile& operator=(const SecretFile&) = delete;
};

struct PlanInput {
  const policy::Profile& profile;
  const wire::RunRequest& request;
  const Caller& caller;
  const Protection& protection;  // what hide and protect mean in this workspace
  std::string id, name;
  std::string tools = {};                    // the broker's directory of them; "" for none
  std::span<const SecretFile> secrets = {};  // in kSecretsDirectory
  uid_t cell_uid = 0;             // on the host; the caller's own unless the caller is root
  bool gateway = false;           // something may be let out
  std::string cgroup = {};        // for init, with the second wall around it; "" for none
  std::string wall_missing = {};  // why there is none, where one was expected
  WholeLimits whole = {};
};

// Everything that the launcher does to build the cell. Looks at the host (which directories exist,
// where links lead), changes nothing. An Error's context is a sentence for the user.
Result<wire::CellPlan> BuildPlan(const PlanInput& input);

// The first of the dedicated host uids of cells that root runs: far above every uid of a person or
// a container range.
inline constexpr uid_t kFirstCellUid = 2080374784;
// What the one user of such a cell is called inside.
inline constexpr uid_t kRootCellInsideUid = 1000;

}  // namespace cellrun::cells
