// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"
#include "lib/policy/load.h"
#include "lib/policy/pattern.h"
#include "lib/policy/policy.h"
#include "lib/policy/profile.h"
#include "lib/policy/request.h"

namespace cellrun::policy {

// One of the programs that a file is, as the name by which it is called: busybox, the coreutils in
// one file, pg_wrapper.
struct Applet {
  FileFacts file;
  std::string name;
};

// The programs that one `exe`, `script`, `interpreter` or `parent` names, bound to files.
struct ProgramSet {
  std::vector<FileId> ids;           // sorted
  std::vector<std::string> paths;    // sorted
  std::vector<Pattern> patterns;     // of canonical paths
  std::vector<Applet> applets;       // bare names of such a file; it is not in ids and paths
  std::vector<std::string> unknown;  // bare names that are nowhere in `path`

  // By identity (a hard link is the same program) or by canonical path; a file of applets is all of
  // them.
  [[nodiscard]] bool Matches(const FileId& id, std::string_view canonical) const;
  [[nodiscard]] bool MatchesPath(std::string_view canonical) const;
  // As Matches, but of a file of applets only those that are named. `called`: as which it certainly
  // runs; nothing where that is not certain, which `tightening` takes for a match.
  [[nodiscard]] bool MatchesAs(const FileId& id, std::string_view canonical,
                               std::optional<std::string_view> called, bool tightening) const;
  // Whether ids and paths are all there is.
  [[nodiscard]] bool literal() const { return patterns.empty(); }

 private:
  [[nodiscard]] bool MatchesWhole(const FileId& id, std::string_view canonical) const;
  [[nodiscard]] bool MatchesWholePath(std::string_view canonical) const;
};

// The last component of a path.
std::string_view FileName(std::string_view path);

// Orders identities, for searching.
bool Before(const FileId& a, const FileId& b);

// Makes "./x", "." and "~/x" absolute and refuses what no canonical path has ("//", "/../", a slash
// at the end). Only for texts that are not bare names; EINVAL with what is wrong.
Result<std::string> AbsolutePattern(std::string_view text, const Places& places);

// Binds names to files. One is made for each compilation: it remembers what it looked up.
class ProgramBinder {
 public:
  // The arguments must outlive it.
  ProgramBinder(const Profile& profile, const Places& places, const FileLookup& lookup);

  Result<ProgramSet> Bind(const std::vector<std::string>& entries);
  // The first file of that name in `path`.
  std::optional<FileFacts> FindByName(const std::string& name);

 private:
  Result<void> BindOne(const std::string& entry, ProgramSet& set);
  Result<void> BindNameGlob(const std::string& glob, ProgramSet& set);
  void BindName(const std::string& name, ProgramSet& set);

  const Places& places_;
  const FileLookup& lookup_;
  std::vector<std::string> directories_;            // of `path`
  std::vector<std::string> canonical_directories_;  // the same, links resolved, each once
  std::map<std::string, std::optional<FileFacts>> names_;
};

}  // namespace cellrun::policy
