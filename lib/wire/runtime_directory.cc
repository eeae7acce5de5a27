// SPDX-License-Identifier: Apache-2.0
#include "lib/wire/runtime_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "lib/sys/file.h"

namespace cellrun::wire {
namespace {

constexpr char kOperation[] = "directory";
constexpr mode_t kPrivate = 0700;
constexpr mode_t kPermissions = 0777;
constexpr std::size_t kMaxPasswdBytes = 4 << 20;

// A variable that is set to an absolute path; "" otherwise.
std::string PathFromEnvironment(const char* name) {
  const char* value =
      getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing here changes the environment
  if (value == nullptr || value[0] != '/') return "";
  std::string path = value;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

struct Split {
  std::string parent, name;
};
Result<Split> SplitPath(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (!path.starts_with('/') || slash + 1 == path.size())
    return Error(EINVAL, kOperation, path + " is not an absolute path");
  return Split{slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

Error Unsafe(const std::string& path, const std::string& why) {
  return Error(EPERM, kOperation, path + " " + why);
}
std::string Octal(mode_t mode) {
  std::string digits;
  for (const unsigned shift : {6U, 3U, 0U})
    digits.push_back(static_cast<char>('0' + ((mode >> shift) & 7U)));
  return "0" + digits;
}

// Whoever can write in the parent could put another directory in the place of ours, unless it is
// sticky.
Result<void> CheckParent(const std::string& path, const struct stat& facts) {
  if (!S_ISDIR(facts.st_mode)) return Unsafe(path, "is not a directory");
  if (facts.st_uid != 0 && facts.st_uid != geteuid()) {
    return Unsafe(path, "belongs to uid " + std::to_string(facts.st_uid));
  }
  const bool others_write = (facts.st_mode & (S_IWGRP | S_IWOTH)) != 0;
  if (others_write && (facts.st_mode & S_ISVTX) == 0)
    return Unsafe(path, "can be written by others and is not sticky");
  return {};
}

Result<void> CheckPrivate(const std::string& path, const struct stat& facts) {
  if (S_ISLNK(facts.st_mode)) return Unsafe(path, "is a symbolic link");
  if (!S_ISDIR(facts.st_mode)) return Unsafe(path, "is not a directory");
  if (facts.st_uid != geteuid()) {
    return Unsafe(path, "belongs to uid " + std::to_string(facts.st_uid) + ", not to uid " +
                            std::to_string(geteuid()));
  }
  if ((facts.st_mode & kPermissions) != kPrivate) {
    return Unsafe(path, "has mode " + Octal(facts.st_mode) + ", not 0700");
  }
  return {};
}

bool IsOurDirectory(const std::string& path, bool only_private) {
  const Result<struct stat> facts = sys::FstatAt(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW);
  if (!facts.ok() || !S_ISDIR(facts->st_mode) || facts->st_uid != geteuid()) return false;
  return !only_private || (facts->st_mode & kPermissions) == kPrivate;
}

std::string RuntimeCandidate() {
  const std::string moved = PathFromEnvironment("CELLRUN_RUNTIME_DIR");
  if (!moved.empty()) return moved;
  if (geteuid() == 0) return "/run/cellrun";
  // After su the variable still names the other user's directory.
  const std::string session = PathFromEnvironment("XDG_RUNTIME_DIR");
  if (!session.empty() && IsOurDirectory(session, false)) return session + "/cellrun";
  const std::string uid = std::to_string(geteuid());
  if (IsOurDirectory("/run/user/" + uid, true)) return "/run/user/" + uid + "/cellrun";
  return "/tmp/cellrun-" + uid;
}

// Missing parents of a directory below the home.
Result<void> MakeParents(const std::string& path) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const Result<void> made = sys::MkdirAt(AT_FDCWD, path.substr(0, slash).c_str(), kPrivate);
    if (made.ok() || made.error().code() == EEXIST) continue;
    // EROFS and EACCES come before EEXIST for an existing directory on some file systems.
    if (sys::FstatAt(AT_FDCWD, path.substr(0, slash).c_str(), 0).ok()) continue;
    return Error(made.error().code(), "mkdir", path.substr(0, slash));
  }
  return {};
}

Result<std::string> HomeFromPasswd() {
  const std::string passwd = TRY(sys::ReadWholeFileAt(AT_FDCWD, "/etc/passwd", kMaxPasswdBytes));
  std::string_view rest = passwd;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    // name:password:uid:gid:comment:home:shell
    std::size_t field_starts[6] = {};
    std::size_t at = 0;
    std::size_t found = 1;
    while (found < std::size(field_starts) && (at = line.find(':', at)) != std::string_view::npos)
      field_starts[found++] = ++at;
    if (found < std::size(field_starts)) continue;
    uid_t uid = 0;
    const std::string_view number =
        line.substr(field_starts[2], field_starts[3] - 1 - field_starts[2]);
    const auto [end, failed] = std::from_chars(number.data(), number.data() + number.size(), uid);
    if (failed != std::errc() || end != number.data() + number.size() || uid != geteuid()) continue;
    const std::string_view home =
        line.substr(field_starts[5], line.find(':', field_starts[5]) - field_starts[5]);
    if (home.starts_with('/')) return std::string(home);
  }
  return Error(ENOENT, kOperation, "uid " + std::to_string(geteuid()) + " has no home directory");
}

Result<std::string> BelowHome(const char* variable, const char* below) {
  const std::string set = PathFromEnvironment(variable);
  if (!set.empty()) return set + "/cellrun";
  return TRY(HomeDirectory()) + below + "/cellrun";
}

// PREFIX of the installation this program belongs to.
Result<std::string> Prefix() {
  const std::string self = TRY(sys::ReadLinkAt(AT_FDCWD, "/proc/self/exe"));
  std::string directory = TRY(SplitPath(self)).parent;
  constexpr std::string_view kLibexec = "/libexec/cellrun";
  if (directory.ends_with(kLibexec)) return directory.substr(0, directory.size() - kLibexec.size());
  return TRY(SplitPath(directory)).parent;
}

}  // namespace

Result<void> MakePrivateDirectory(const std::string& path) {
  const Split split = TRY(SplitPath(path));
  const UniqueFd parent =
      TRY(sys::OpenAt(AT_FDCWD, split.parent.c_str(), O_PATH | O_DIRECTORY).With(split.parent));
  TRY(CheckParent(split.parent, TRY(sys::Fstat(parent))));
  const Result<void> made = sys::MkdirAt(parent.get(), split.name.c_str(), kPrivate);
  if (!made.ok() && made.error().code() != EEXIST) {
    // A read-only parent says EROFS even where the directory exists.
    if (!sys::FstatAt(parent.get(), split.name.c_str(), AT_SYMLINK_NOFOLLOW).ok())
      return Error(made.error().code(), "mkdir", path);
  }
  TRY(CheckPrivate(
      path, TRY(sys::FstatAt(parent.get(), split.name.c_str(), AT_SYMLINK_NOFOLLOW).With(path))));
  return {};
}

Result<std::string> RuntimeDirectory() {
  std::string path = RuntimeCandidate();
  TRY(MakePrivateDirectory(path));
  return path;
}

Result<std::string> StateDirectory() {
  std::string path = PathFromEnvironment("CELLRUN_STATE_DIR");
  if (path.empty())
    path = geteuid() == 0 ? "/var/lib/cellrun" : TRY(BelowHome("XDG_STATE_HOME", "/.local/state"));
  TRY(MakeParents(path));
  const Result<void> made = sys::MkdirAt(AT_FDCWD, path.c_str(), kPrivate);
  const Result<struct stat> facts = sys::FstatAt(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW);
  if (!facts.ok())
    return Error(made.ok() ? facts.error().code() : made.error().code(), "mkdir", path);
  if (!S_ISDIR(facts->st_mode)) return Unsafe(path, "is not a directory");
  if (facts->st_uid != geteuid())
    return Unsafe(path, "belongs to uid " + std::to_string(facts->st_uid));
  if ((facts->st_mode & (S_IWGRP | S_IWOTH)) != 0) return Unsafe(path, "can be written by others");
  return path;
}

Result<std::string> ConfigDirectory() {
  const std::string moved = PathFromEnvironment("CELLRUN_CONFIG_DIR");
  if (!moved.empty()) return moved;
  return BelowHome("XDG_CONFIG_HOME", "/.config");
}

Result<std::string> HomeDirectory() {
  std::string home = PathFromEnvironment("HOME");
  if (!home.empty()) return home;
  return HomeFromPasswd();
}

Result<std::string> LauncherPath() {
  return TRY(Prefix()) + "/bin/cellrun";
}
Result<std::string> LibexecPath(const std::string& program) {
  return TRY(Prefix()) + "/libexec/cellrun/" + program;
}
Result<std::string> InstalledProfiles() {
  return TRY(Prefix()) + "/share/cellrun/profiles";
}

}  // namespace cellrun::wire
