// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lib/base/result.h"
#include "lib/policy/policy.h"

namespace cellrun::cells {

// Compiled policies, kept while the documents, the places and the directories in which their
// programs were found stay the same: a second run under the same profile does not parse anything.
// Only on the loop's thread.
class PolicyStore {
 public:
  using Sources = std::vector<policy::Source>;

  // Which documents are still missing, by the name that `extends` gives them; empty when all are
  // there. Problems: the first document that is wrong.
  policy::Checked<std::vector<std::string>> Missing(const std::vector<policy::Source>& documents);

  // The policy of these documents (any order; `floor` is added and put first).
  policy::Checked<std::shared_ptr<const policy::Policy>> Get(
      const std::vector<policy::Source>& documents, const policy::Places& places);
  // Of a profile that the broker has made itself; `key` is the same only for the same profile.
  policy::Checked<std::shared_ptr<const policy::Policy>> Get(
      const std::string& key, const std::function<policy::Profile()>& make,
      const policy::Places& places);

  // The same documents, in one copy for all that hold them: most cells have those of others.
  std::shared_ptr<const Sources> Share(Sources sources);

 private:
  struct Directory {
    std::string path;
    std::int64_t seconds = 0, nanoseconds = 0;  // of its last change
    bool operator==(const Directory&) const = default;
  };
  struct Entry {
    std::string key;
    std::vector<Directory> directories;
    std::shared_ptr<const policy::Policy> policy;
  };
  std::optional<std::shared_ptr<const policy::Policy>> Find(const std::string& key);
  policy::Checked<std::shared_ptr<const policy::Policy>> Compile(const std::string& key,
                                                                 policy::Profile profile,
                                                                 const policy::Places& places);
  static Directory LookAt(const std::string& path);
  static bool StillTrue(const Entry& entry);
  policy::Checked<std::vector<std::string>> Extends(const policy::Source& document);

  static constexpr std::size_t kMaxEntries = 16;
  static constexpr std::size_t kMaxExtends = 64;
  std::deque<Entry> entries_;                                          // most recently used first
  std::unordered_map<std::string, std::vector<std::string>> extends_;  // by text
  std::vector<std::weak_ptr<const Sources>> shared_;
};

}  // namespace cellrun::cells
