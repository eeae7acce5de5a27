// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/cells/cell.h"
#include "lib/base/result.h"

namespace cellrun::cells {

// The cells of this broker, by id, and the numbers that two cells must not share. Only on the
// loop's thread.
class Registry {
 public:
  // A new id (12 hex digits) and a name: `wanted` if it is a valid name that no live cell has
  // (EINVAL, EEXIST), or one of two words. Kept until Release.
  struct Identity {
    std::string id, name;
    std::optional<uid_t> uid;  // for a cell run by root
  };
  Result<Identity> Reserve(const std::string& wanted, bool by_root);
  void Release(const Identity& identity);

  void Add(Cell& cell) { cells_[cell.plan().id] = &cell; }
  void Remove(const std::string& id) { cells_.erase(id); }
  [[nodiscard]] const std::map<std::string, Cell*>& cells() const { return cells_; }
  // By name, id, or a start of an id that only one has. Null: none, or several.
  [[nodiscard]] Cell* Find(const std::string& name) const;
  [[nodiscard]] Cell* Named(const std::string& name) const;  // by exactly its name
  // What `own` hides and protects in the workspace, and what the cells that have it do: each keeps
  // the union.
  [[nodiscard]] Result<SharedProtection> ProtectionIn(const std::string& workspace,
                                                      const policy::Profile& own);
  [[nodiscard]] std::size_t live() const { return names_.size(); }

 private:
  std::map<std::string, Cell*> cells_;
  std::set<std::string> names_;
  std::set<uid_t> uids_;
  std::vector<std::weak_ptr<const Protection>> protections_;  // of live cells, each once
};

}  // namespace cellrun::cells
