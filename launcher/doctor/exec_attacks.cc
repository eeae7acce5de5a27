// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "launcher/doctor/attack.h"
#include "lib/sys/file.h"

namespace cellrun::doctor {
namespace {

constexpr char kProgram[] = "/bin/true";

// A copy of a program that does nothing and succeeds.
Result<void> CopyProgram(const UniqueFd& to) {
  const UniqueFd from = TRY(sys::OpenAt(AT_FDCWD, kProgram, O_RDONLY));
  const struct stat file = TRY(sys::Fstat(from));
  off_t offset = 0;
  while (offset < file.st_size) {
    if (sendfile(to.get(), from.get(), &offset, static_cast<std::size_t>(file.st_size - offset)) <=
        0) {
      return ErrnoError("sendfile");
    }
  }
  return {};
}

// Runs exec in a child and says whether the program was carried out (it would end with status 0).
AttackResult Start(int directory, const char* path, const std::vector<const char*>& arguments,
                   int flags) {
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const char* argument : arguments) argv.push_back(const_cast<char*>(argument));
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid < 0) return NotTried("fork");
  if (pid == 0) {
    const UniqueFd null(open("/dev/null", O_WRONLY | O_CLOEXEC));
    if (null.valid()) (void)dup2(null.get(), STDERR_FILENO);  // the denial's explanation
    char* environment[] = {nullptr};
    execveat(directory, path, argv.data(), environment, flags);
    _exit(127);
  }
  int status = 0;
  if (waitpid(pid, &status, 0) < 0) return NotTried("waitpid");
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return Broken("it ran");
  return Held(WIFEXITED(status) ? "exit status " + std::to_string(WEXITSTATUS(status))
                                : "signal " + std::to_string(WTERMSIG(status)));
}

Result<std::string> CopyToScratch(const AttackPlan& plan, const char* name) {
  const std::string path = plan.scratch + "/cellrun-doctor-" + name;
  const UniqueFd file =
      TRY(sys::OpenAt(AT_FDCWD, path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0755));
  TRY(CopyProgram(file));
  TRY(sys::Fchmod(file, 0755));
  return path;
}

AttackResult RunCopy(const AttackPlan& plan) {
  const auto path = CopyToScratch(plan, "copy");
  if (!path.ok()) return NotTried(path.error().ToString());
  return Start(AT_FDCWD, path->c_str(), {path->c_str()}, 0);
}

AttackResult RunCopyByLoader(const AttackPlan& plan) {
  const auto path = CopyToScratch(plan, "payload");
  if (!path.ok()) return NotTried(path.error().ToString());
  for (const char* loader : {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"}) {
    if (access(loader, X_OK) == 0) return Start(AT_FDCWD, loader, {loader, path->c_str()}, 0);
  }
  return NotTried("no dynamic loader");
}

AttackResult RunMemoryFile(const AttackPlan&) {
  const UniqueFd file(memfd_create("program", MFD_CLOEXEC));
  if (!file.valid()) return Held(std::string("memfd_create: ") + ErrnoName(errno));
  if (auto copied = CopyProgram(file); !copied.ok()) return NotTried(copied.error().ToString());
  return Start(file.get(), "", {"program"}, AT_EMPTY_PATH);
}

AttackResult RunDeletedFile(const AttackPlan& plan) {
  const auto path = CopyToScratch(plan, "deleted");
  if (!path.ok()) return NotTried(path.error().ToString());
  const auto file = sys::OpenAt(AT_FDCWD, path->c_str(), O_RDONLY);
  if (!file.ok() || unlink(path->c_str()) != 0) return NotTried("unlink");
  return Start(file->get(), "", {"deleted"}, AT_EMPTY_PATH);
}

AttackResult RunScript(const AttackPlan& plan) {
  // An interpreter that the cell wrote: a rule may allow the script, this link of its chain none.
  const auto copy = CopyToScratch(plan, "interpreter");
  if (!copy.ok()) return NotTried(copy.error().ToString());
  const std::string path = plan.scratch + "/cellrun-doctor-script";
  {
    // Closed before the exec: a file that is open for writing cannot be executed.
    const auto file = sys::OpenAt(AT_FDCWD, path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0755);
    if (!file.ok()) return NotTried(file.error().ToString());
    if (!sys::WriteAll(*file, "#!" + *copy + "\n").ok()) return NotTried("write");
  }
  return Start(AT_FDCWD, path.c_str(), {path.c_str()}, 0);
}

AttackResult RunSetuid(const AttackPlan&) {
  for (const char* path : {"/usr/bin/su", "/usr/bin/sudo", "/usr/bin/mount", "/usr/bin/newgrp"}) {
    if (access(path, F_OK) != 0) continue;
    return Start(AT_FDCWD, path, {path, "--version"}, 0);
  }
  return NotTried("no such program here");
}

constexpr std::array kAttacks = {
    Attack{"run-copy", "run a program that the cell wrote", RunCopy},
    Attack{"run-copy-by-loader", "the same through the dynamic loader", RunCopyByLoader},
    Attack{"run-memory-file", "run a program from memory", RunMemoryFile},
    Attack{"run-deleted-file", "run a program that has no name any more", RunDeletedFile},
    Attack{"run-script", "run a script with an interpreter of its own", RunScript},
    Attack{"run-setuid", "run a program that becomes root", RunSetuid},
};

}  // namespace

std::span<const Attack> ExecAttacks() {
  return kAttacks;
}

}  // namespace cellrun::doctor
