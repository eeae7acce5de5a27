// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/program_set.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <tuple>
#include <utility>

namespace cellrun::policy {
namespace {

bool IsBareName(std::string_view text) {
  return text.find('/') == std::string_view::npos && text != "." && text != ".." && text != "~";
}

Result<void> RefuseUncanonical(std::string_view path) {
  for (const std::string_view part : {"//", "/./", "/../"}) {
    if (path.find(part) != std::string_view::npos) {
      return Error(EINVAL, "no canonical path contains '//', '/./' or '/../'");
    }
  }
  if (path.ends_with("/..") || path.ends_with("/.") || (path.size() > 1 && path.ends_with('/'))) {
    return Error(EINVAL, "no canonical path ends in '/', '/.' or '/..'");
  }
  return {};
}

std::string Below(const std::string& directory, const std::string& name) {
  std::string path = directory;
  path.append("/").append(name);
  return path;
}

void AddFile(const FileFacts& file, ProgramSet& set) {
  set.ids.push_back(file.id);
  set.paths.push_back(file.canonical);
}

// Files that are another program for each name they are called by. Only these: nc and netcat lead
// to one file as well, and a rule about one means both.
constexpr std::array kOfApplets = {"busybox", "coreutils", "kmod", "lvm", "pg_wrapper", "toybox"};

bool IsOfApplets(const FileFacts& file) {
  return std::find(kOfApplets.begin(), kOfApplets.end(), FileName(file.canonical)) !=
         kOfApplets.end();
}

template <typename T, typename Less>
void SortUnique(std::vector<T>& values, Less less) {
  std::sort(values.begin(), values.end(), less);
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

}  // namespace

std::string_view FileName(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

bool Before(const FileId& a, const FileId& b) {
  return std::tie(a.device, a.inode) < std::tie(b.device, b.inode);
}

bool ProgramSet::Matches(const FileId& id, std::string_view canonical) const {
  return MatchesAs(id, canonical, std::nullopt, true);
}

bool ProgramSet::MatchesPath(std::string_view canonical) const {
  return MatchesWholePath(canonical) ||
         std::any_of(applets.begin(), applets.end(),
                     [&](const Applet& applet) { return applet.file.canonical == canonical; });
}

bool ProgramSet::MatchesAs(const FileId& id, std::string_view canonical,
                           std::optional<std::string_view> called, bool tightening) const {
  if (MatchesWhole(id, canonical)) return true;
  return std::any_of(applets.begin(), applets.end(), [&](const Applet& applet) {
    if (applet.file.id != id && applet.file.canonical != canonical) return false;
    return called ? *called == applet.name : tightening;
  });
}

bool ProgramSet::MatchesWhole(const FileId& id, std::string_view canonical) const {
  return std::binary_search(ids.begin(), ids.end(), id, Before) || MatchesWholePath(canonical);
}

bool ProgramSet::MatchesWholePath(std::string_view canonical) const {
  return std::binary_search(paths.begin(), paths.end(), canonical, std::less<>()) ||
         std::any_of(patterns.begin(), patterns.end(),
                     [&](const Pattern& pattern) { return pattern.Matches(canonical); });
}

Result<std::string> AbsolutePattern(std::string_view text, const Places& places) {
  const bool glob = HasGlobCharacters(text);
  const auto below = [&](const std::string& directory, std::string_view rest) {
    return (glob ? EscapeGlob(directory) : directory) + std::string(rest);
  };
  std::string absolute;
  if (text == "." || text.starts_with("./")) {
    absolute = below(places.workspace, text.substr(1));
  } else if (text == "~" || text.starts_with("~/")) {
    absolute = below(places.home, text.substr(1));
  } else if (text.starts_with('/') || text.starts_with("**") || text.starts_with('{')) {
    absolute = text;
  } else {
    return Error(EINVAL, "expected a bare name, an absolute path, './…', '~/…' or '**/…'");
  }
  TRY(RefuseUncanonical(absolute));
  return absolute;
}

ProgramBinder::ProgramBinder(const Profile& profile, const Places& places, const FileLookup& lookup)
    : places_(places), lookup_(lookup) {
  for (const Placed<std::string>& directory : profile.path) {
    directories_.push_back(directory.value);
    const std::optional<FileFacts> found = lookup_(directory.value);
    std::string canonical = found ? found->canonical : directory.value;
    if (std::find(canonical_directories_.begin(), canonical_directories_.end(), canonical) ==
        canonical_directories_.end()) {
      canonical_directories_.push_back(std::move(canonical));
    }
  }
}

Result<ProgramSet> ProgramBinder::Bind(const std::vector<std::string>& entries) {
  ProgramSet set;
  for (const std::string& entry : entries) TRY(BindOne(entry, set).With(entry));
  SortUnique(set.ids, Before);
  SortUnique(set.paths, std::less<>());
  return set;
}

Result<void> ProgramBinder::BindOne(const std::string& entry, ProgramSet& set) {
  if (entry.empty()) return Error(EINVAL, "an empty name matches nothing");
  if (entry.starts_with(kRegexPrefix)) {
    set.patterns.push_back(TRY(Pattern::Compile(entry, GlobKind::kPath)));
    return {};
  }
  if (IsBareName(entry) && entry != "**") {
    if (HasGlobCharacters(entry)) return BindNameGlob(entry, set);
    BindName(entry, set);
    return {};
  }
  Pattern pattern = TRY(Pattern::Compile(TRY(AbsolutePattern(entry, places_)), GlobKind::kPath));
  if (!pattern.literal()) {
    set.patterns.push_back(std::move(pattern));
    return {};
  }
  // The path itself as well as what it leads to now: it may be made later, as a build does.
  set.paths.push_back(*pattern.literal());
  if (const std::optional<FileFacts> file = lookup_(*pattern.literal())) AddFile(*file, set);
  return {};
}

Result<void> ProgramBinder::BindNameGlob(const std::string& glob, ProgramSet& set) {
  for (const std::string& directory : canonical_directories_) {
    set.patterns.push_back(
        TRY(Pattern::Compile(EscapeGlob(directory) + "/" + glob, GlobKind::kPath)));
  }
  return {};
}

void ProgramBinder::BindName(const std::string& name, ProgramSet& set) {
  if (const std::optional<FileFacts> file = FindByName(name)) {
    if (IsOfApplets(*file) && FileName(file->canonical) != name) {
      set.applets.push_back({*file, name});
    } else {
      AddFile(*file, set);
    }
  } else {
    set.unknown.push_back(name);
  }
}

std::optional<FileFacts> ProgramBinder::FindByName(const std::string& name) {
  const auto known = names_.find(name);
  if (known != names_.end()) return known->second;
  std::optional<FileFacts> found;
  for (const std::string& directory : directories_) {
    found = lookup_(Below(directory, name));
    if (found) break;
  }
  names_.emplace(name, found);
  return found;
}

}  // namespace cellrun::policy
