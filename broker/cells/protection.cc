// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/protection.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <memory>
#include <set>

#include "broker/cells/absent.h"
#include "broker/cells/below.h"
#include "lib/policy/glob.h"
#include "lib/sys/file.h"

namespace cellrun::cells {
namespace {

// The loader writes a pattern (which always has a `**`) with the workspace in front escaped, so
// that a directory named "[x]" does not become a class; a literal name has the workspace as it is.
bool IsPatternBelow(const std::string& path, const std::string& workspace) {
  const std::string prefix = policy::EscapeGlob(workspace) + "/";
  return path.starts_with(prefix) && path.find("**", prefix.size()) != std::string::npos;
}

constexpr open_how kInside = {
    .flags = O_PATH | O_NOFOLLOW, .mode = 0, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};

// Calls `found` with the relative path of every entry below `directory`. Links are reported, not
// followed.
class Walk {
 public:
  template <typename Found>
  Result<void> Run(const UniqueFd& directory, const std::string& prefix, const Found& found) {
    UniqueFd copy = TRY(sys::OpenAt(directory.get(), ".", O_RDONLY | O_DIRECTORY));
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(copy.get()), closedir);
    if (stream == nullptr) return ErrnoError("fdopendir");
    (void)copy.Release();  // closedir closes it
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
    while (const dirent* entry = readdir(stream.get())) {
      const std::string name(&entry->d_name[0]);
      if (name == "." || name == "..") continue;
      if (++seen_ > kMaxWalkEntries) {
        return Error(EFBIG, "walk",
                     "a pattern with ** in hide or protect needs a walk of the workspace, which "
                     "has more than " +
                         std::to_string(kMaxWalkEntries) + " entries");
      }
      const std::string path = prefix.empty() ? name : prefix + "/" + name;
      TRY(found(path));
      if (entry->d_type != DT_DIR) continue;
      Result<UniqueFd> below =
          sys::OpenAt(directory.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (below.ok()) {
        TRY(Run(*below, path, found));
      } else if (!SaysAbsent(below.error())) {
        return std::move(below).error().With(path);
      }
    }
    return {};
  }

 private:
  std::size_t seen_ = 0;
};

// Where the first component `.git` of a relative path that goes on below it ends; npos if there is
// none.
std::size_t EndOfGit(const std::string& relative) {
  const std::string padded = "/" + relative;
  const std::size_t at = padded.find("/.git/");
  return at == std::string::npos ? at : at + 4;
}

// A short file of git's; "" where there is none.
Result<std::string> ReadPointer(const std::string& path) {
  Result<std::string> text = sys::ReadWholeFileAt(AT_FDCWD, path.c_str(), 4096);
  if (text.ok()) return text;
  // A directory, as it mostly is; or far too long for one.
  const bool other = text.error().code() == EINVAL || text.error().code() == EFBIG;
  if (other || SaysAbsent(text.error())) return std::string();
  return std::move(text).error().With(path);
}

// "gitdir: PATH" of a `.git` file, absolute; "" if it is none. `base` is the directory of the file.
Result<std::string> PointedGitDirectory(const std::string& base) {
  const std::string text = TRY(ReadPointer(base + "/.git"));
  constexpr std::string_view kKey = "gitdir: ";
  if (!text.starts_with(kKey)) return std::string();
  std::string target = text.substr(kKey.size());
  while (!target.empty() && (target.back() == '\n' || target.back() == '\r')) target.pop_back();
  return target.starts_with('/') ? target : base + "/" + target;
}

class Finder {
 public:
  Finder(const std::string& workspace, UniqueFd root)
      : workspace_(workspace), root_(std::move(root)) {}

  Result<Protection> Run(const std::vector<const policy::Profile*>& profiles) {
    for (const policy::Profile* profile : profiles) {
      for (const auto& entry : profile->filesystem.hide) TRY(Add(entry, true));
      for (const auto& entry : profile->filesystem.protect) TRY(Add(entry, false));
    }
    if (!patterns_.empty()) TRY(ExpandPatterns());
    std::stable_sort(result_.guarded.begin(), result_.guarded.end(),
                     [](const GuardedName& a, const GuardedName& b) { return a.path < b.path; });
    result_.parents.assign(parents_.begin(),
                           parents_.end());  // sorted: a parent comes before what is in it
    return std::move(result_);
  }

 private:
  struct Pattern {
    policy::Glob glob;
    policy::Placed<std::string> entry;
    bool hide = false;
  };

  Result<void> Add(const policy::Placed<std::string>& entry, bool hide) {
    const std::string& path = entry.value;
    if (IsPatternBelow(path, workspace_)) {
      patterns_.push_back(
          {TRY(policy::Glob::Compile(path, policy::GlobKind::kPath).With(entry.at.ToString())),
           entry, hide});
    } else if (IsBelow(path, workspace_)) {
      TRY(Guard(path.substr(workspace_.size() + 1), hide));
    } else if (path.find("**") != std::string::npos) {
      return Error(ENOTSUP, "",
                   entry.at.ToString() + ": a pattern outside the workspace is not supported yet");
    } else {
      auto& outside = hide ? result_.hidden_outside : result_.protected_outside;
      if (std::find(outside.begin(), outside.end(), path) == outside.end()) outside.push_back(path);
    }
    return {};
  }

  Result<void> Guard(const std::string& relative, bool hide) {
    if (!guarded_.insert(relative).second) return {};
    if (const std::size_t end = EndOfGit(relative); end != std::string::npos) {
      TRY(GuardPointed(relative.substr(0, end), relative.substr(end + 1), hide));
    }
    GuardedName name{.path = relative, .hide = hide};
    const Result<UniqueFd> found = IsMissingEntry(root_, relative)
                                       ? Error(ENOENT, "open")
                                       : sys::OpenAt2(root_.get(), relative.c_str(), kInside);
    if (found.ok()) {
      name.at_start = TRY(sys::Fstat(*found).With(relative));
      name.existed = true;
      for (std::size_t slash = relative.find('/'); slash != std::string::npos;
           slash = relative.find('/', slash + 1)) {
        parents_.insert(relative.substr(0, slash));
      }
    }
    if (!found.ok() && !SaysAbsent(found.error())) return Error(found.error()).With(relative);
    if (!found.ok() && found.error().code() == ELOOP) {
      TRY(GuardLinked(name));
      TRY(NoteLinks(name));
    }
    result_.guarded.push_back(std::move(name));
    return {};
  }

  // A link that was there before the cell leads to the name: what it leads to is guarded, and the
  // sweep at the end compares.
  Result<void> GuardLinked(GuardedName& name) {
    const std::optional<Target> target = TRY(FollowAt(root_, name.path));
    if (!target) return {};
    name.existed = name.linked = true;
    name.at_start = target->facts;
    GuardOutside(target->path, name.hide);
    return {};
  }

  // The first of its parents that is a link.
  Result<void> NoteLinks(const GuardedName& name) {
    for (std::size_t slash = name.path.find('/'); slash != std::string::npos;
         slash = name.path.find('/', slash + 1)) {
      GuardedName link = name;
      link.path = name.path.substr(0, slash);
      const Result<struct stat> facts =
          sys::FstatAt(root_.get(), link.path.c_str(), AT_SYMLINK_NOFOLLOW);
      if (!facts.ok()) {
        if (SaysAbsent(facts.error())) return {};
        return Error(facts.error()).With(link.path);
      }
      if (!S_ISLNK(facts->st_mode)) continue;
      link.existed = true;
      link.at_start = *facts;
      result_.links.push_back(std::move(link));
      return {};
    }
    return {};
  }

  struct Target {
    std::string path;  // without links
    struct stat facts {};
  };
  // What a path leads to, links followed; nothing where there is nothing.
  static Result<std::optional<Target>> FollowAt(const UniqueFd& directory,
                                                const std::string& path) {
    const Result<UniqueFd> found = sys::OpenAt(directory.get(), path.c_str(), O_PATH);
    if (!found.ok()) {
      if (SaysAbsent(found.error())) return std::optional<Target>();
      return Error(found.error()).With(path);
    }
    const std::string name = "/proc/self/fd/" + std::to_string(found->get());
    return std::optional<Target>({.path = TRY(sys::ReadLinkAt(AT_FDCWD, name.c_str()).With(path)),
                                  .facts = TRY(sys::Fstat(*found).With(path))});
  }
  void GuardOutside(const std::string& path, bool hide) {
    (hide ? result_.hidden_outside : result_.protected_outside).push_back(path);
  }

  // A worktree's or submodule's `.git` is a file that names the directory where hooks and config
  // really are. The file itself may not change either: it could name another directory.
  Result<void> GuardPointed(const std::string& pointer, const std::string& below_git, bool hide) {
    const std::string base =
        workspace_ + "/" + pointer.substr(0, pointer.size() - std::string_view(".git").size());
    const std::string git = TRY(PointedGitDirectory(base));
    if (git.empty()) return {};
    TRY(Guard(pointer, false));
    std::vector<std::string> directories = {git};
    const std::string common = TRY(ReadPointer(git + "/commondir"));
    if (!common.empty()) {
      const std::string target = common.substr(0, common.find('\n'));
      directories.push_back(target.starts_with('/') ? target : git + "/" + target);
    }
    for (const std::string& directory : directories) {
      const std::optional<Target> target = TRY(FollowAt(root_, directory + "/" + below_git));
      if (target) GuardOutside(target->path, hide);
    }
    return {};
  }

  Result<void> ExpandPatterns() {
    return Walk().Run(root_, "", [this](const std::string& relative) -> Result<void> {
      const std::string absolute = workspace_ + "/" + relative;
      for (const Pattern& pattern : patterns_) {
        if (pattern.glob.Matches(absolute)) TRY(Guard(relative, pattern.hide));
      }
      return {};
    });
  }

  const std::string& workspace_;
  const UniqueFd root_;
  Protection result_;
  std::vector<Pattern> patterns_;
  std::set<std::string> guarded_, parents_;
};

}  // namespace

bool SameFile(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_mode == b.st_mode &&
         a.st_size == b.st_size && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
         a.st_mtim.tv_nsec == b.st_mtim.tv_nsec && a.st_ctim.tv_sec == b.st_ctim.tv_sec &&
         a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

bool GuardedName::operator==(const GuardedName& other) const {
  return path == other.path && hide == other.hide && existed == other.existed &&
         linked == other.linked && SameFile(at_start, other.at_start);
}

Result<Protection> FindProtection(const std::vector<const policy::Profile*>& profiles,
                                  const std::string& workspace) {
  return Finder(workspace, TRY(sys::OpenAt(AT_FDCWD, workspace.c_str(), O_RDONLY | O_DIRECTORY)))
      .Run(profiles);
}

}  // namespace cellrun::cells
