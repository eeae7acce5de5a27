// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/registry.h"

#include <algorithm>

#include "broker/cells/cell_name.h"
#include "lib/sys/random.h"

namespace cellrun::cells {

Result<Registry::Identity> Registry::Reserve(const std::string& wanted, bool by_root) {
  Identity identity;
  if (wanted.empty()) {
    identity.name = PickCellName([this](const std::string& name) { return names_.contains(name); });
  } else if (!IsCellName(wanted)) {
    return Error(EINVAL, "",
                 "a cell's name has 1 to 63 of a-z, 0-9 and '-' and starts with a letter");
  } else if (names_.contains(wanted)) {
    return Error(EEXIST, "", "a cell named " + wanted + " is running");
  } else {
    identity.name = wanted;
  }
  identity.id = sys::RandomHex(6);
  names_.insert(identity.name);
  if (by_root) {
    uid_t uid = kFirstCellUid;
    while (uids_.contains(uid)) ++uid;
    uids_.insert(uid);
    identity.uid = uid;
  }
  return identity;
}

Cell* Registry::Named(const std::string& name) const {
  const auto found = std::find_if(cells_.begin(), cells_.end(), [&](const auto& entry) {
    return entry.second->plan().name == name;
  });
  return found != cells_.end() ? found->second : nullptr;
}

Cell* Registry::Find(const std::string& name) const {
  Cell* found = nullptr;
  for (const auto& [id, cell] : cells_) {
    if (cell->plan().name == name || id == name) return cell;
    if (name.empty() || !id.starts_with(name)) continue;
    if (found != nullptr) return nullptr;
    found = cell;
  }
  return found;
}

void Registry::Release(const Identity& identity) {
  names_.erase(identity.name);
  if (identity.uid) uids_.erase(*identity.uid);
}

Result<SharedProtection> Registry::ProtectionIn(const std::string& workspace,
                                                const policy::Profile& own) {
  // Most of them share a policy; each once.
  std::vector<const policy::Profile*> profiles = {&own};
  for (const auto& [id, cell] : cells_) {
    if (cell->setup().request.workspace != workspace) continue;
    const policy::Profile* profile = &cell->setup().policy->profile();
    if (std::find(profiles.begin(), profiles.end(), profile) == profiles.end())
      profiles.push_back(profile);
  }
  Protection found = TRY(FindProtection(profiles, workspace));
  std::erase_if(protections_, [](const auto& held) { return held.expired(); });
  for (const auto& held : protections_) {
    if (SharedProtection same = held.lock(); *same == found) return same;
  }
  auto first = std::make_shared<const Protection>(std::move(found));
  protections_.push_back(first);
  return SharedProtection(std::move(first));
}

}  // namespace cellrun::cells
