// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/policy_store.h"

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "broker/cells/absent.h"
#include "lib/policy/tool_rules.h"
#include "lib/sys/file.h"

namespace cellrun::cells {
namespace {

std::string Parent(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

// Looks programs up on the host, below the cell's root directory, and notes every directory whose
// change could alter the answer.
class ProgramLookup {
 public:
  explicit ProgramLookup(std::string root) : root_(std::move(root)) {}

  std::optional<policy::FileFacts> operator()(const std::string& path) {
    directories_.insert(Parent(root_ + path));
    const Result<UniqueFd> file = sys::OpenAt(AT_FDCWD, (root_ + path).c_str(), O_PATH);
    if (!file.ok()) return Nothing(path, file.error());
    const Result<struct stat> facts = sys::Fstat(*file);
    if (!facts.ok()) return Nothing(path, facts.error());
    const Result<std::string> canonical =
        sys::ReadLinkAt(AT_FDCWD, ("/proc/self/fd/" + std::to_string(file->get())).c_str());
    if (!canonical.ok()) return Nothing(path, canonical.error());
    if (!canonical->starts_with(root_)) return std::nullopt;
    NoteLinks(root_ + path);
    directories_.insert(Parent(*canonical));
    return policy::FileFacts{.id = {.device = facts->st_dev, .inode = facts->st_ino},
                             .canonical = canonical->substr(root_.size())};
  }
  [[nodiscard]] const std::set<std::string>& directories() const { return directories_; }
  // Why one could not be looked at. Its rule would not know the program by other names.
  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }

 private:
  std::optional<policy::FileFacts> Nothing(const std::string& path, Error error) {
    if (!SaysAbsent(error)) failure_ = std::move(error).With(path);
    return std::nullopt;
  }

  // The directories of the links on the way: /usr/bin/cc -> /etc/alternatives/cc -> /usr/bin/gcc.
  void NoteLinks(std::string path) {
    for (int hop = 0; hop < 8; ++hop) {
      const Result<std::string> target = sys::ReadLinkAt(AT_FDCWD, path.c_str());
      if (!target.ok()) return;
      path = target->starts_with('/') ? root_ + *target : Parent(path) + "/" + *target;
      directories_.insert(Parent(path));
    }
  }

  const std::string root_;
  std::set<std::string> directories_;
  std::optional<Error> failure_;
};

std::string KeyOf(const std::vector<policy::Source>& sources, const policy::Places& places) {
  std::string key = places.home + '\0' + places.workspace + '\0';
  for (const policy::Source& source : sources) {
    key += std::to_string(static_cast<int>(source.layer)) + '\0' + source.name + '\0' +
           source.origin + '\0' + source.text + '\0';
  }
  return key;
}

}  // namespace

std::shared_ptr<const PolicyStore::Sources> PolicyStore::Share(Sources sources) {
  std::erase_if(shared_, [](const auto& held) { return held.expired(); });
  for (const auto& held : shared_) {
    std::shared_ptr<const Sources> same = held.lock();
    if (*same == sources) return same;
  }
  auto first = std::make_shared<const Sources>(std::move(sources));
  shared_.push_back(first);
  return first;
}

policy::Checked<std::vector<std::string>> PolicyStore::Extends(const policy::Source& document) {
  const auto known = extends_.find(document.text);
  if (known != extends_.end()) return known->second;
  policy::Checked<std::vector<std::string>> extends = policy::ReadExtends(document);
  if (!extends.ok()) return extends;
  if (extends_.size() >= kMaxExtends) extends_.clear();
  extends_.emplace(document.text, extends.value());
  return extends;
}

policy::Checked<std::vector<std::string>> PolicyStore::Missing(
    const std::vector<policy::Source>& documents) {
  std::set<std::string> present;
  for (const policy::Source& document : documents) present.insert(document.name);
  std::vector<std::string> missing;
  for (const policy::Source& document : documents) {
    policy::Checked<std::vector<std::string>> extends = Extends(document);
    if (!extends.ok()) return extends.problems();
    for (const std::string& name : extends.value()) {
      if (!present.contains(name) &&
          std::find(missing.begin(), missing.end(), name) == missing.end())
        missing.push_back(name);
    }
  }
  return missing;
}

PolicyStore::Directory PolicyStore::LookAt(const std::string& path) {
  const Result<struct stat> facts = sys::FstatAt(AT_FDCWD, path.c_str(), 0);
  if (!facts.ok()) return {.path = path};
  return {.path = path, .seconds = facts->st_ctim.tv_sec, .nanoseconds = facts->st_ctim.tv_nsec};
}

bool PolicyStore::StillTrue(const Entry& entry) {
  const auto expiry = entry.policy->NextExpiry();
  if (expiry && *expiry <= std::chrono::system_clock::now()) return false;
  return std::all_of(
      entry.directories.begin(), entry.directories.end(),
      [](const Directory& directory) { return LookAt(directory.path) == directory; });
}

std::optional<std::shared_ptr<const policy::Policy>> PolicyStore::Find(const std::string& key) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.key == key; });
  if (found == entries_.end()) return std::nullopt;
  Entry entry = std::move(*found);
  entries_.erase(found);
  if (!StillTrue(entry)) return std::nullopt;
  entries_.push_front(entry);
  return entry.policy;
}

policy::Checked<std::shared_ptr<const policy::Policy>> PolicyStore::Get(
    const std::vector<policy::Source>& documents, const policy::Places& places) {
  const std::string key = KeyOf(documents, places);
  if (const auto found = Find(key)) return *found;
  policy::Checked<policy::Profile> profile = policy::LoadProfile(documents, places);
  if (!profile.ok()) return profile.problems();
  const std::vector<policy::Problem> unsupported = policy::UnsupportedFeatures(profile.value());
  if (!unsupported.empty()) return unsupported;
  policy::AddToolRules(profile.value());
  return Compile(key, std::move(profile.value()), places);
}

policy::Checked<std::shared_ptr<const policy::Policy>> PolicyStore::Get(
    const std::string& key, const std::function<policy::Profile()>& make,
    const policy::Places& places) {
  if (const auto found = Find(key)) return *found;
  return Compile(key, make(), places);
}

policy::Checked<std::shared_ptr<const policy::Policy>> PolicyStore::Compile(
    const std::string& key, policy::Profile profile, const policy::Places& places) {
  const std::string root =
      profile.filesystem.root.value == "host" ? "" : profile.filesystem.root.value;
  ProgramLookup lookup(root);
  policy::Checked<std::shared_ptr<const policy::Policy>> policy =
      policy::Policy::Compile(std::move(profile), places, std::ref(lookup));
  if (!policy.ok()) return policy;
  if (lookup.failure()) {
    return std::vector<policy::Problem>{
        {.at = {},
         .what = "a program it names cannot be looked at: " + lookup.failure()->ToString(),
         .expected = {},
         .suggest = {}}};
  }

  Entry entry{.key = key, .directories = {}, .policy = policy.value()};
  for (const std::string& path : lookup.directories()) entry.directories.push_back(LookAt(path));
  entries_.push_front(std::move(entry));
  if (entries_.size() > kMaxEntries) entries_.pop_back();
  return policy;
}

}  // namespace cellrun::cells
