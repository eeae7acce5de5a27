// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/walk.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sys/stat.h>

#include <algorithm>

#include "broker/exec/task.h"
#include "lib/sys/file.h"

namespace cellrun::exec {
namespace {

constexpr std::size_t kLevelOfTheCell = 1;        // of pid namespaces, the broker's being 0
constexpr int kMaxLinks = 40;                     // MAXSYMLINKS
constexpr std::size_t kMaxRest = 4UL * PATH_MAX;  // of nested link targets
constexpr ino_t kProcRootInode = 1;               // PROC_ROOT_INO

class Walker {
 public:
  Walker(const UniqueFd& root, const WalkOptions& options) : root_(root), options_(options) {}

  Result<Walked> Run(const UniqueFd& start, std::string_view path) {
    rest_ = path;
    TRY(Enter(path.starts_with('/') ? root_ : start));
    while (true) {
      const std::size_t begin = rest_.find_first_not_of('/');
      if (begin == std::string::npos) break;
      const std::size_t end = rest_.find('/', begin);
      const std::string name = rest_.substr(begin, end - begin);
      rest_ = end == std::string::npos ? "" : rest_.substr(end);
      TRY(RequireDirectory());
      TRY(Step(name));
    }
    if (!rest_.empty()) TRY(RequireDirectory());  // a trailing slash
    return std::move(walked_);
  }

 private:
  [[nodiscard]] bool Last() const { return rest_.empty(); }

  Result<void> Enter(const UniqueFd& directory) {
    walked_.fd = TRY(sys::Duplicate(directory));
    facts_ = TRY(sys::Fstat(walked_.fd));
    return NoteMount();
  }
  Result<void> NoteMount() {
    const struct statfs mount = TRY(sys::Fstatfs(walked_.fd));
    constexpr auto kReadOnly = static_cast<decltype(mount.f_flags)>(ST_RDONLY);
    on_writable_ = (mount.f_flags & kReadOnly) == 0;
    on_procfs_ = mount.f_type == PROC_SUPER_MAGIC;
    return {};
  }
  [[nodiscard]] Result<void> RequireDirectory() const {
    if (!S_ISDIR(facts_.st_mode)) return Error(ENOTDIR, "walking a path");
    return {};
  }

  Result<bool> AtRoot() const {
    const struct statx here =
        TRY(sys::Statx(walked_.fd.get(), "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID));
    const struct statx root =
        TRY(sys::Statx(root_.get(), "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID));
    return here.stx_ino == root.stx_ino && here.stx_dev_major == root.stx_dev_major &&
           here.stx_dev_minor == root.stx_dev_minor && here.stx_mnt_id == root.stx_mnt_id;
  }

  // No task of the cell can rename or remove a mount point.
  static bool IsMountRoot(const UniqueFd& directory) {
    const Result<struct statx> facts =
        sys::Statx(directory.get(), "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID);
    return facts.ok() && (facts->stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  }

  Result<void> Step(const std::string& name) {
    if (name == ".") return {};
    if (name == "..") {
      if (TRY(AtRoot())) return {};
      // Where ".." leads changes when the directory itself is moved.
      if (on_writable_ && !IsMountRoot(walked_.fd)) walked_.stable = false;
    }
    UniqueFd next = TRY(sys::OpenAt(walked_.fd.get(), name.c_str(), O_PATH | O_NOFOLLOW));
    const struct stat facts = TRY(sys::Fstat(next));
    if (S_ISLNK(facts.st_mode) && (options_.follow_last || !Last())) return Follow(name, next);
    return Move(std::move(next), facts);
  }
  Result<void> Move(UniqueFd next, const struct stat& facts) {
    if (on_writable_ && !IsMountRoot(next)) walked_.stable = false;
    walked_.fd = std::move(next);
    facts_ = facts;
    return NoteMount();
  }

  Result<void> Follow(const std::string& name, const UniqueFd& link) {
    if (++links_ > kMaxLinks) return Error(ELOOP, "walking a path");
    if (on_writable_) walked_.stable = false;
    if (on_procfs_) {
      if (facts_.st_ino == kProcRootInode && (name == "self" || name == "thread-self")) {
        return Continue(TRY(OwnEntry(name)));
      }
      if (IsObjectLink(name)) return Jump(name);
    }
    return Continue(TRY(sys::ReadLinkAt(link.get(), "")));
  }

  Result<std::string> OwnEntry(const std::string& name) const {
    const ProcessNumbers numbers =
        TRY(ReadProcessNumbers(AT_FDCWD, "/proc/" + std::to_string(options_.tid)));
    const std::size_t levels = numbers.tgids.size();
    // A task in a pid namespace of its own may look at the procfs of an outer one. The outermost
    // first: there all its numbers must agree, and an inner one alone may also be that of another
    // process, started in the same clock tick.
    std::size_t level = std::min(kLevelOfTheCell, levels - 1);
    while (levels - 1 > kLevelOfTheCell && !IsOwnEntry(numbers, level)) {
      if (++level == levels) return Error(ENOENT, "walking a path");
    }
    std::string entry = std::to_string(numbers.tgids[level]);
    if (name == "thread-self") entry += "/task/" + std::to_string(numbers.tids[level]);
    return entry;
  }
  [[nodiscard]] bool IsOwnEntry(const ProcessNumbers& numbers, std::size_t level) const {
    const Result<ProcessNumbers> there =
        ReadProcessNumbers(walked_.fd.get(), std::to_string(numbers.tgids[level]) + "/task/" +
                                                 std::to_string(numbers.tids[level]));
    return there.ok() && there->tgids.size() == numbers.tgids.size() - level && numbers.Is(*there);
  }

  // A link to an object (exe, cwd, root, fd/N, …), not to a name: openat2 refuses to follow just
  // these with ELOOP.
  [[nodiscard]] bool IsObjectLink(const std::string& name) const {
    const Result<UniqueFd> plain =
        sys::OpenAt2(walked_.fd.get(), name.c_str(),
                     {.flags = O_PATH, .mode = 0, .resolve = RESOLVE_NO_MAGICLINKS});
    return !plain.ok() && plain.error().code() == ELOOP;
  }
  Result<void> Jump(const std::string& name) {
    UniqueFd target = TRY(sys::OpenAt(walked_.fd.get(), name.c_str(), O_PATH));
    const struct stat facts = TRY(sys::Fstat(target));
    walked_.left_tree = true;
    walked_.stable = false;
    return Move(std::move(target), facts);
  }
  Result<void> Continue(const std::string& target) {
    if (target.empty()) return Error(ENOENT, "walking a path");
    if (target.size() + rest_.size() > kMaxRest) return Error(ENAMETOOLONG, "walking a path");
    rest_ = target + rest_;
    if (target.starts_with('/')) return Enter(root_);
    return {};
  }

  const UniqueFd& root_;
  const WalkOptions& options_;
  Walked walked_;
  struct stat facts_ {};  // of walked_.fd
  bool on_writable_ = false, on_procfs_ = false;
  int links_ = 0;
  std::string rest_;  // what is still to be looked up, from a slash on
};

}  // namespace

Result<Walked> WalkPath(const UniqueFd& root, const UniqueFd& start, std::string_view path,
                        const WalkOptions& options) {
  if (path.empty()) return Error(ENOENT, "walking a path");
  if (path.size() >= PATH_MAX) return Error(ENAMETOOLONG, "walking a path");
  return Walker(root, options).Run(start, path);
}

}  // namespace cellrun::exec
