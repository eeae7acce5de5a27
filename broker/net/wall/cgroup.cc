// SPDX-License-Identifier: Apache-2.0
#include "broker/net/wall/cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <sstream>
#include <thread>
#include <vector>

#include "lib/base/log.h"
#include "lib/sys/file.h"

namespace cellrun::net {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxFile = 1024 * 1024;
constexpr char kPrefix[] = "cellrun-";
constexpr std::chrono::seconds kEmptyWithin{5};
constexpr int kTries = 10;

std::vector<std::string> Words(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

// The line of v2, "0::PATH", as this process's cgroup namespace shows it.
Result<std::string> GroupOf(int procfs, const std::string& process) {
  const std::string file = process + "/cgroup";
  std::istringstream lines(TRY(sys::ReadWholeFileAt(procfs, file.c_str(), kMaxFile)));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("0::/")) return line.substr(3);
  }
  return Error(ENOENT, "", "cgroup v2: a process is in none");
}

struct Mounted {
  std::string root;   // what of the hierarchy it shows; "" for all
  std::string point;  // where
};

// Fields of mountinfo: id, parent, device, root, mount point, …, "-", type.
Result<std::vector<Mounted>> Mounts() {
  std::vector<Mounted> mounts;
  std::istringstream lines(TRY(sys::ReadWholeFileAt(AT_FDCWD, "/proc/self/mountinfo", kMaxFile)));
  for (std::string line; std::getline(lines, line);) {
    if (line.find(" - cgroup2 ") == std::string::npos) continue;
    const std::vector<std::string> words = Words(line);
    mounts.push_back({.root = words[3] == "/" ? "" : words[3], .point = words[4]});
  }
  if (mounts.empty()) return Error(ENOENT, "", "cgroup v2 is not mounted");
  return mounts;
}

Result<std::string> DirectoryOf(const std::string& group) {
  for (const Mounted& mount : TRY(Mounts())) {
    if (group.starts_with(mount.root + "/")) return mount.point + group.substr(mount.root.size());
  }
  return Error(ENOENT, "", "cgroup v2 is not mounted where " + group + " shows");
}

// The reverse.
Result<std::string> GroupAt(const std::string& directory) {
  for (const Mounted& mount : TRY(Mounts())) {
    if (directory.starts_with(mount.point + "/"))
      return mount.root + directory.substr(mount.point.size());
  }
  return Error(ENOENT, "", directory + ": no directory of cgroup v2");
}

Result<bool> Populated(const UniqueFd& events) {
  char text[256];  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by the call
  const std::size_t length = TRY(sys::Pread(events, text, 0));
  return std::string_view(&text[0], length).find("populated 1") != std::string_view::npos;
}

// EBUSY: not within that time.
Result<void> AwaitEmpty(const UniqueFd& directory, std::chrono::milliseconds limit) {
  const UniqueFd events = TRY(sys::OpenAt(directory.get(), "cgroup.events", O_RDONLY));
  const auto end = std::chrono::steady_clock::now() + limit;
  while (TRY(Populated(events))) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (left.count() <= 0) return Error(EBUSY, "cgroup.events");
    pollfd changed{.fd = events.get(), .events = POLLPRI, .revents = 0};
    (void)poll(&changed, 1, static_cast<int>(left.count()));
  }
  return {};
}

// Version 1 tells nothing of a cgroup's end but that it can be removed.
Result<void> RemoveOldAt(const std::string& path) {
  constexpr std::chrono::milliseconds kEvery{5};
  const auto end = std::chrono::steady_clock::now() + kEmptyWithin;
  for (;;) {
    const Result<void> removed = sys::UnlinkAt(AT_FDCWD, path.c_str(), AT_REMOVEDIR);
    if (removed.ok() || removed.error().code() == ENOENT) return {};
    if (removed.error().code() != EBUSY || std::chrono::steady_clock::now() > end) return removed;
    std::this_thread::sleep_for(kEvery);
  }
}

bool IsOld(const UniqueFd& directory) {
  const Result<struct stat> events = sys::FstatAt(directory.get(), "cgroup.events", 0);
  return !events.ok() && events.error().code() == ENOENT;
}

Result<void> RemoveAt(const std::string& path) {
  Result<UniqueFd> directory = sys::OpenAt(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!directory.ok() && directory.error().code() == ENOENT) return {};
  TRY(Result<void>(directory.ok() ? Result<void>() : directory.error()));
  if (IsOld(*directory)) return RemoveOldAt(path);
  // EBUSY: a launcher that is refused may still be cloning its child into it.
  Result<void> removed;
  for (int tries = 0; tries < kTries; ++tries) {
    (void)sys::WriteExistingFile((path + "/cgroup.kill").c_str(), "1");  // Linux 5.14; empty anyway
    TRY(AwaitEmpty(*directory, kEmptyWithin));
    removed = sys::UnlinkAt(AT_FDCWD, path.c_str(), AT_REMOVEDIR);
    if (removed.ok() || removed.error().code() == ENOENT) return {};
  }
  return removed;
}

Result<void> RemoveWithNote(const std::string& path, const std::string& note) {
  Result<void> removed;
  for (int tries = 0; tries < kTries; ++tries) {
    removed = RemoveAt(path);
    if (removed.ok()) removed = sys::UnlinkAt(AT_FDCWD, note.c_str(), 0);
    if (removed.ok() || removed.error().code() == EBUSY) break;
  }
  return removed;
}

}  // namespace

Result<Cgroup> Cgroup::Open(const std::string& path) {
  Cgroup made;
  made.path_ = path;
  made.group_ = TRY(GroupAt(path));
  made.directory_ = TRY(sys::OpenAt(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY).With(path));
  struct statfs system = TRY(sys::Fstatfs(made.directory_));
  constexpr auto kCgroup2Magic = 0x63677270;
  if (system.f_type != kCgroup2Magic)
    return Error(EINVAL, "", path + ": no directory of cgroup v2");
  // The id of a cgroup is the number of its inode.
  made.id_ = TRY(sys::Fstat(made.directory_)).st_ino;
  return made;
}

Result<std::string> CgroupOf(pid_t pid) {
  std::string directory = TRY(DirectoryOf(TRY(GroupOf(AT_FDCWD, "/proc/" + std::to_string(pid)))));
  if (directory.ends_with('/')) directory.pop_back();
  return directory;
}

Result<Cgroup> Cgroup::MakeBelow(const std::string& parent, const std::string& name,
                                 const std::string& notes) {
  return Make(parent, name, notes, Open);
}

Result<Cgroup> Cgroup::MakeOldBelow(const std::string& parent, const std::string& name,
                                    const std::string& notes) {
  return Make(parent, name, notes, [](const std::string& path) -> Result<Cgroup> {
    Cgroup made;
    made.path_ = path;
    made.directory_ = TRY(sys::OpenAt(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY).With(path));
    return made;
  });
}

Result<Cgroup> Cgroup::Make(const std::string& parent, const std::string& name,
                            const std::string& notes,
                            Result<Cgroup> (*open)(const std::string& path)) {
  const std::string path = parent + "/" + &kPrefix[0] + name;
  const std::string note = notes + "/" + name;
  Result<void> made = sys::MkdirAt(AT_FDCWD, notes.c_str(), 0700);
  if (!made.ok() && made.error().code() != EEXIST) return made.error();
  TRY(sys::SymlinkAt(path.c_str(), AT_FDCWD, note.c_str()).With(note));
  made = sys::MkdirAt(AT_FDCWD, path.c_str(), 0755);
  Result<Cgroup> cgroup = made.ok() ? open(path) : Result<Cgroup>(Error(made.error()).With(path));
  if (!cgroup.ok()) {
    if (made.ok()) (void)sys::UnlinkAt(AT_FDCWD, path.c_str(), AT_REMOVEDIR);
    (void)sys::UnlinkAt(AT_FDCWD, note.c_str(), 0);
    return cgroup;
  }
  cgroup->note_ = note;
  return cgroup;
}

std::optional<bool> Cgroup::Has(pid_t pid) const {
  return Has(AT_FDCWD, "/proc/" + std::to_string(pid));
}

std::optional<bool> Cgroup::Has(int procfs, const std::string& number) const {
  const Result<std::string> group = GroupOf(procfs, number);
  if (group.ok()) return *group == group_;
  switch (group.error().code()) {
    case ENOENT:
    case ESRCH:
    case EMFILE:  // ours: it is looked at again
    case ENFILE:
    case ENOMEM:
      return std::nullopt;
    default:
      return false;
  }
}

Result<std::size_t> Cgroup::Count() const {
  const std::string processes =
      TRY(sys::ReadWholeFileAt(directory_.get(), "cgroup.procs", kMaxFile));
  return static_cast<std::size_t>(std::count(processes.begin(), processes.end(), '\n'));
}

Result<void> Cgroup::Remove() {
  if (note_.empty()) return {};
  return RemoveWithNote(path_, note_).With(path_);
}

std::vector<std::string> NotesIn(const std::string& notes) {
  std::vector<std::string> found;
  std::error_code code;  // no directory, no notes
  for (const fs::directory_entry& note : fs::directory_iterator(notes, code))
    found.push_back(note.path().string());
  return found;
}

void RemoveLeft(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) {
    const Result<std::string> path = sys::ReadLinkAt(AT_FDCWD, note.c_str());
    const std::string name = &kPrefix[0] + fs::path(note).filename().string();
    const Result<void> removed = path.ok() && path->ends_with("/" + name)
                                     ? RemoveWithNote(*path, note)
                                     : Result<void>(Error(EINVAL, "", "it is no note of ours"));
    if (removed.ok()) continue;
    log::Warn("a cgroup is left", {{"note", note}, {"error", removed.error().ToString()}});
  }
}

}  // namespace cellrun::net
