// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>

#include "launcher/doctor/attack.h"
#include "lib/sys/file.h"

namespace cellrun::doctor {
namespace {

bool IsNumber(const char* name) {
  return *name >= '1' && *name <= '9';
}

AttackResult SeeHostProcesses(const AttackPlan& plan) {
  DIR* directory = opendir("/proc");
  if (directory == nullptr) return Held("no /proc");
  std::size_t seen = 0;
  bool found = false;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): single-threaded
  while (const dirent* entry = readdir(directory)) {
    if (!IsNumber(entry->d_name)) continue;
    ++seen;
    const std::string path = std::string("/proc/") + entry->d_name + "/comm";
    const auto name = sys::ReadWholeFileAt(AT_FDCWD, path.c_str(), 64);
    if (name.ok() && name->starts_with(plan.decoy_process)) found = true;
  }
  closedir(directory);
  return found ? Broken("a process of the host is in /proc")
               : Held(std::to_string(seen) + " processes");
}

AttackResult TraceChild(const AttackPlan&) {
  return MustFail(syscall(SYS_ptrace, PTRACE_TRACEME, 0, nullptr, nullptr), "ptrace");
}

AttackResult ReadInit(const AttackPlan&) {
  std::array<char, 8> buffer{};
  iovec local{.iov_base = buffer.data(), .iov_len = buffer.size()};
  iovec remote{.iov_base = buffer.data(), .iov_len = buffer.size()};
  // EFAULT: access was given, only nothing is at that address.
  const ssize_t read = process_vm_readv(1, &local, 1, &remote, 1, 0);
  if (read >= 0 || errno == EFAULT) return Broken("init's memory can be read");
  for (const char* path : {"/proc/1/mem", "/proc/1/environ", "/proc/1/fd/3"}) {
    const auto file = sys::OpenAt(AT_FDCWD, path, O_RDWR);
    if (file.ok()) return Broken(std::string(path) + " was opened");
  }
  return Held();
}

AttackResult StopInit(const AttackPlan&) {
  // SIGSTOP to init of one's own pid namespace does nothing; taking its descriptors would.
  const long pidfd = syscall(SYS_pidfd_open, 1, 0);
  if (pidfd < 0) return Held(std::string("pidfd_open: ") + ErrnoName(errno));
  return MustFail(syscall(SYS_pidfd_getfd, pidfd, 3, 0), "pidfd_getfd");
}

AttackResult BecomeRoot(const AttackPlan&) {
  if (geteuid() == 0) return Broken("the cell runs as root");
  return MustFail(syscall(SYS_setresuid, 0, 0, 0), "setresuid");
}

AttackResult HoldCapabilities(const AttackPlan&) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) return NotTried("capget");
  for (const auto& word : data) {
    if ((word.effective | word.permitted | word.inheritable) != 0) {
      return Broken("capabilities are left");
    }
  }
  for (unsigned long capability = 0; capability < 64; ++capability) {
    if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1) {
      return Broken("capability " + std::to_string(capability) + " is in the bounding set");
    }
  }
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return Broken("no_new_privs is not set");
  return Held();
}

AttackResult InheritDescriptors(const AttackPlan& plan) {
  for (int fd = 3; fd < 256; ++fd) {
    const auto target = sys::ReadLinkAt(AT_FDCWD, ("/proc/self/fd/" + std::to_string(fd)).c_str());
    if (!target.ok()) continue;
    // Its own pipe to the parent is the only one that may be there.
    if (target->starts_with("pipe:")) continue;
    return Broken("descriptor " + std::to_string(fd) + " is open: " + *target);
  }
  (void)plan;
  return Held();
}

AttackResult InheritEnvironment(const AttackPlan& plan) {
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::string_view(*variable).find(plan.secret) != std::string_view::npos) {
      return Broken("a variable of the caller arrived");
    }
  }
  return Held();
}

constexpr std::array kAttacks = {
    Attack{"see-host-processes", "find a process of the host", SeeHostProcesses},
    Attack{"trace", "trace a process", TraceChild},
    Attack{"read-init", "read or open the cell's init", ReadInit},
    Attack{"take-init-descriptors", "take the control socket of the cell's init", StopInit},
    Attack{"become-root", "become root", BecomeRoot},
    Attack{"hold-capabilities", "use a capability", HoldCapabilities},
    Attack{"inherit-descriptors", "use a descriptor of the caller", InheritDescriptors},
    Attack{"inherit-environment", "read a variable of the caller", InheritEnvironment},
};

}  // namespace

std::span<const Attack> ProcessAttacks() {
  return kAttacks;
}

}  // namespace cellrun::doctor
