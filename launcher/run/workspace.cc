// SPDX-License-Identifier: Apache-2.0
#include "launcher/run/workspace.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "lib/base/unique_fd.h"
#include "lib/sys/file.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::launcher {
namespace {

constexpr std::size_t kMaxPasswdBytes = 4 << 20;
constexpr char kTryOther[] = "cellrun run --workspace DIR, with DIR the project directory";

// Directories that make up the system or have a place of their own in every cell. Projects below
// them are fine.
constexpr std::array<std::string_view, 26> kSystemDirectories = {
    "/",       "/bin",   "/boot", "/dev", "/etc",     "/home",    "/lib",      "/lib32",  "/lib64",
    "/libx32", "/media", "/mnt",  "/opt", "/proc",    "/root",    "/run",      "/sbin",   "/srv",
    "/sys",    "/tmp",   "/usr",  "/var", "/usr/bin", "/usr/lib", "/usr/sbin", "/var/tmp"};
// Nothing in these is a file of a project.
constexpr std::array<std::string_view, 3> kKernelTrees = {"/proc", "/sys", "/dev"};

bool IsInside(std::string_view path, std::string_view directory) {
  if (directory == "/") return true;
  return path.starts_with(directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

// Opened once: what is judged and the canonical name belong to the same directory.
struct Opened {
  UniqueFd fd;
  std::string path;
  struct stat facts {};
};
Result<Opened> Resolve(const std::string& path) {
  Opened opened;
  opened.fd = TRY(sys::OpenAt(AT_FDCWD, path.c_str(), O_PATH));
  opened.facts = TRY(sys::Fstat(opened.fd));
  opened.path =
      TRY(sys::ReadLinkAt(AT_FDCWD, ("/proc/self/fd/" + std::to_string(opened.fd.get())).c_str()));
  if (!opened.path.starts_with('/'))
    return Error(ENOENT, "readlink", "it is not reachable from here");
  return opened;
}

std::optional<ErrorForm> Judge(const Opened& directory, const WorkspaceContext& context) {
  const std::string& path = directory.path;
  const std::string what = "the workspace cannot be " + path;
  if (!S_ISDIR(directory.facts.st_mode)) return ErrorForm{what, "it is not a directory", kTryOther};
  if (path == "/") return ErrorForm{what, "that is the whole machine", kTryOther};
  for (const std::string& home : context.homes) {
    if (path == home)
      return ErrorForm{what, "it is a home directory, with keys and configuration in it",
                       kTryOther};
    if (IsInside(home, path) && !home.empty())
      return ErrorForm{what, "the home directory " + home + " lies in it", kTryOther};
  }
  for (const std::string& own : context.forbidden) {
    if (IsInside(own, path) || IsInside(path, own)) {
      return ErrorForm{what, "cellrun's own directory " + own + " is there", kTryOther};
    }
  }
  const bool is_system = std::find(kSystemDirectories.begin(), kSystemDirectories.end(), path) !=
                         kSystemDirectories.end();
  const bool is_kernel = std::any_of(kKernelTrees.begin(), kKernelTrees.end(),
                                     [&](std::string_view tree) { return IsInside(path, tree); });
  if (is_system || is_kernel) return ErrorForm{what, "it is a directory of the system", kTryOther};
  const uid_t owner = directory.facts.st_uid;
  if (context.uid != 0 && owner != 0 && owner != context.uid) {
    return ErrorForm{what, "it belongs to another user (uid " + std::to_string(owner) + ")",
                     kTryOther};
  }
  return std::nullopt;
}

// The nearest directory upwards that holds `.git`, as long as everything up to it belongs to one
// owner: whoever can write in /tmp must not choose the workspace of others by making /tmp/.git.
std::optional<Opened> FindProject(const WorkspaceContext& context) {
  Result<struct stat> here = sys::FstatAt(AT_FDCWD, context.current_directory.c_str(), 0);
  if (!here.ok()) return std::nullopt;
  std::string path = context.current_directory;
  while (path.size() > 1) {
    Result<Opened> directory = Resolve(path);
    if (!directory.ok() || directory->facts.st_uid != here->st_uid) return std::nullopt;
    if (sys::FstatAt(directory->fd.get(), ".git", AT_SYMLINK_NOFOLLOW).ok()) {
      if (Judge(*directory, context)) return std::nullopt;  // a home that is itself a repository
      return std::move(*directory);
    }
    path.resize(std::max<std::size_t>(path.rfind('/'), 1));
  }
  return std::nullopt;
}

std::vector<std::string> AllHomes() {
  std::vector<std::string> homes;
  const auto add = [&](const std::string& home) {
    // "/" and the like are the "homes" of daemons; the system directories are refused by
    // themselves.
    if (home.size() < 2 || home[0] != '/') return;
    homes.push_back(home);
    // One call for the many that are what they are called.
    const bool spelled_plainly = home.find("//") == std::string::npos &&
                                 home.find("/.") == std::string::npos && !home.ends_with('/');
    const Result<UniqueFd> plain = sys::OpenAt2(
        AT_FDCWD, home.c_str(), {.flags = O_PATH, .mode = 0, .resolve = RESOLVE_NO_SYMLINKS});
    if (plain.ok() ? spelled_plainly : plain.error().code() == ENOENT) return;
    const Result<Opened> real = Resolve(home);
    if (real.ok() && real->path != home) homes.push_back(real->path);
  };
  const Result<std::string> own = wire::HomeDirectory();
  if (own.ok()) add(*own);
  const Result<std::string> passwd = sys::ReadWholeFileAt(AT_FDCWD, "/etc/passwd", kMaxPasswdBytes);
  if (!passwd.ok()) return homes;
  std::string_view rest = *passwd;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    std::size_t at = 0;
    for (int field = 0; field < 5 && at != std::string_view::npos; ++field) {
      at = line.find(':', at);
      if (at != std::string_view::npos) ++at;
    }
    if (at == std::string_view::npos) continue;
    const std::string home(line.substr(at, line.find(':', at) - at));
    // Homes of daemons are system directories (/var/lib/…, /usr/sbin): a project may lie around
    // those of packages only by mistake, but the ones that people have are what matters.
    if (std::find(homes.begin(), homes.end(), home) == homes.end() && !IsInside(home, "/usr") &&
        !IsInside(home, "/bin") && home != "/nonexistent" && home != "/dev" && home != "/proc") {
      add(home);
    }
  }
  return homes;
}

}  // namespace

WorkspaceContext HereAndNow() {
  WorkspaceContext context;
  const Result<Opened> here = Resolve(".");
  if (here.ok()) context.current_directory = here->path;
  context.uid = geteuid();
  context.homes = AllHomes();
  for (const Result<std::string>& own : {wire::RuntimeDirectory(), wire::StateDirectory()}) {
    if (!own.ok()) continue;
    const Result<Opened> real = Resolve(*own);
    context.forbidden.push_back(real.ok() ? real->path : *own);
  }
  return context;
}

std::variant<Workspace, ErrorForm> ChooseWorkspace(const std::string& asked,
                                                   const WorkspaceContext& context) {
  std::optional<Opened> chosen;
  if (asked.empty()) chosen = FindProject(context);
  if (!chosen) {
    if (asked.empty() && context.current_directory.empty()) {
      return ErrorForm{"there is no workspace", "the current directory cannot be reached",
                       kTryOther};
    }
    Result<Opened> resolved = Resolve(asked.empty() ? context.current_directory : asked);
    if (!resolved.ok()) {
      return ErrorForm{"the workspace cannot be " + asked, ErrnoText(resolved.error().code()),
                       kTryOther};
    }
    chosen = std::move(*resolved);
  }
  if (std::optional<ErrorForm> refused = Judge(*chosen, context)) return *std::move(refused);
  Workspace workspace{.path = chosen->path, .working_directory = chosen->path, .read_only = false};
  if (IsInside(context.current_directory, workspace.path))
    workspace.working_directory = context.current_directory;
  workspace.read_only = faccessat(AT_FDCWD, workspace.path.c_str(), W_OK | X_OK, AT_EACCESS) != 0;
  return workspace;
}

std::variant<std::string, ErrorForm> ResolveGrant(const std::string& option,
                                                  const std::string& path) {
  const Result<Opened> resolved = Resolve(path);
  if (!resolved.ok()) {
    return ErrorForm{option + " " + path + ": " + ErrnoText(resolved.error().code()), "",
                     option + " takes the path of an existing file or directory"};
  }
  if (resolved->path == "/")
    return ErrorForm{option + " " + path + " would give the whole machine", "", option + " PATH"};
  return resolved->path;
}

}  // namespace cellrun::launcher
