// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <string>

#include "launcher/doctor/attack.h"
#include "lib/sys/file.h"

namespace cellrun::doctor {
namespace {

constexpr std::size_t kFileLimit = 1 << 20;

// Whether `path` can be read and contains `needle`.
bool Contains(const std::string& path, const std::string& needle) {
  const auto text = sys::ReadWholeFileAt(AT_FDCWD, path.c_str(), kFileLimit);
  return text.ok() && text->find(needle) != std::string::npos;
}

AttackResult ReadShadow(const AttackPlan&) {
  for (const char* path : {"/etc/shadow", "/etc/gshadow", "/etc/sudoers"}) {
    const auto file = sys::OpenAt(AT_FDCWD, path, O_RDONLY);
    if (!file.ok()) continue;
    const auto text = sys::ReadWholeFile(*file, kFileLimit);
    if (text.ok() && !text->empty()) return Broken(std::string(path) + " was read");
  }
  return Held();
}

AttackResult ReadDecoy(const AttackPlan& plan) {
  const std::array roots = {"", "/proc/self/root", "/proc/1/root", "/proc/self/cwd/../../../../.."};
  for (const char* root : roots) {
    const std::string path = root + plan.decoy_file;
    if (Contains(path, plan.secret)) return Broken(path + " was read");
  }
  return Held();
}

AttackResult ReadBrokerFiles(const AttackPlan& plan) {
  for (const std::string& path : {plan.state_directory, plan.runtime_directory}) {
    DIR* directory = opendir(path.c_str());
    if (directory == nullptr) continue;
    closedir(directory);
    return Broken(path + " can be listed");
  }
  return Held();
}

AttackResult WriteSystem(const AttackPlan&) {
  for (const char* directory : {"/usr", "/etc", "/bin", "/lib", "/opt", "/"}) {
    const std::string path = std::string(directory) + "/.cellrun-doctor";
    const auto made = sys::OpenAt(AT_FDCWD, path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (!made.ok()) continue;
    (void)sys::UnlinkAt(AT_FDCWD, path.c_str(), 0);  // made by us just now
    return Broken(path + " was made");
  }
  return Held();
}

AttackResult WriteShim(const AttackPlan&) {
  for (const char* path : {"/run/cellrun/shim", "/run/cellrun/new"}) {
    const auto file = sys::OpenAt(AT_FDCWD, path, O_WRONLY | O_CREAT, 0600);
    if (file.ok()) return Broken(std::string(path) + " was opened for writing");
  }
  if (chmod("/run/cellrun/shim", 0777) == 0) return Broken("the shim's mode was changed");
  return Held();
}

AttackResult WriteKernelSettings(const AttackPlan&) {
  constexpr std::array kPaths = {"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
                                 "/proc/sysrq-trigger",           "/proc/sys/vm/drop_caches",
                                 "/sys/kernel/uevent_helper",     "/proc/1/oom_score_adj"};
  // Opened only: nothing is written.
  for (const char* path : kPaths) {
    if (sys::OpenAt(AT_FDCWD, path, O_WRONLY).ok()) {
      return Broken(std::string(path) + " is writable");
    }
  }
  return Held();
}

AttackResult ReadKernelMemory(const AttackPlan&) {
  constexpr std::array kPaths = {"/proc/kcore", "/dev/mem",   "/dev/kmem",       "/dev/port",
                                 "/dev/kmsg",   "/proc/kmsg", "/proc/kpagecount"};
  for (const char* path : kPaths) {
    const auto file = sys::OpenAt(AT_FDCWD, path, O_RDONLY | O_NONBLOCK);
    std::array<char, 16> bytes{};
    if (file.ok()) {
      const auto read = sys::Read(*file, bytes);
      if (read.ok() && *read > 0) return Broken(std::string(path) + " was read");
    }
  }
  return Held();
}

AttackResult MakeDevice(const AttackPlan& plan) {
  const std::string path = plan.workspace + "/device";
  if (mknod(path.c_str(), S_IFCHR | 0600, makedev(1, 1)) != 0) return MustFail(-1, "mknod");
  (void)sys::UnlinkAt(AT_FDCWD, path.c_str(), 0);
  return Broken("a device for the host's memory was made");
}

AttackResult WriteHook(const AttackPlan& plan) {
  const std::string git = plan.workspace + "/.git";
  const std::string hook = git + "/hooks/pre-commit";
  if (sys::OpenAt(AT_FDCWD, hook.c_str(), O_WRONLY | O_CREAT, 0700).ok()) {
    return Broken(".git/hooks/pre-commit was made");
  }
  // A parent that can be moved away would take the mount that protects the name with it.
  if (rename(git.c_str(), (plan.workspace + "/moved").c_str()) == 0) {
    return Broken(".git was moved away");
  }
  if (rename((git + "/hooks").c_str(), (git + "/moved").c_str()) == 0) {
    return Broken(".git/hooks was moved away");
  }
  return Held();
}

constexpr std::array kAttacks = {
    Attack{"read-shadow", "read the host's password hashes", ReadShadow},
    Attack{"read-outside", "read a file outside the workspace", ReadDecoy},
    Attack{"read-broker-files", "read the journal, reach the broker's sockets", ReadBrokerFiles},
    Attack{"write-system", "write to system directories", WriteSystem},
    Attack{"write-shim", "replace cellrun's own program in the cell", WriteShim},
    Attack{"write-kernel-settings", "change settings of the kernel", WriteKernelSettings},
    Attack{"read-kernel-memory", "read memory of the kernel", ReadKernelMemory},
    Attack{"make-device", "make a device file", MakeDevice},
    Attack{"write-git-hook", "leave a hook that git runs on the host", WriteHook},
};

}  // namespace

std::span<const Attack> FileAttacks() {
  return kAttacks;
}

}  // namespace cellrun::doctor
