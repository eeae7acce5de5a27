// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>

#include "launcher/doctor/attack.h"
#include "lib/base/unique_fd.h"
#include "lib/sys/file.h"

namespace cellrun::doctor {
namespace {

AttackResult NewUserNamespace(const AttackPlan&) {
  return MustFail(syscall(SYS_unshare, CLONE_NEWUSER), "unshare");
}

AttackResult CloneUserNamespace(const AttackPlan&) {
  const long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) _exit(0);
  if (pid > 0) waitpid(static_cast<pid_t>(pid), nullptr, 0);
  return MustFail(pid, "clone");
}

AttackResult MountTmpfs(const AttackPlan& plan) {
  const long mounted = syscall(SYS_mount, "none", plan.workspace.c_str(), "tmpfs", 0, nullptr);
  if (mounted == 0) (void)umount2(plan.workspace.c_str(), MNT_DETACH);
  return MustFail(mounted, "mount");
}

AttackResult NewMountApi(const AttackPlan&) {
  if (syscall(SYS_fsopen, "tmpfs", 0) >= 0) return Broken("fsopen succeeded");
  if (syscall(SYS_open_tree, AT_FDCWD, "/", 1 /* OPEN_TREE_CLONE */) >= 0) {
    return Broken("open_tree succeeded");
  }
  return MustFail(syscall(SYS_umount2, "/run/cellrun", MNT_DETACH), "umount2");
}

AttackResult ChangeRoot(const AttackPlan& plan) {
  return MustFail(syscall(SYS_chroot, plan.workspace.c_str()), "chroot");
}

struct Call {
  const char* name;
  long number;
  std::array<long, 5> arguments;
};
// Arguments are such that a kernel without the filter would succeed, or fail with EFAULT or EINVAL.
constexpr std::array kForbidden = {
    Call{"bpf", SYS_bpf, {0, 0, 0, 0, 0}},
    Call{"perf_event_open", SYS_perf_event_open, {0, 0, -1, -1, 0}},
    Call{"io_uring_setup", SYS_io_uring_setup, {1, 0, 0, 0, 0}},
    Call{"userfaultfd", SYS_userfaultfd, {1, 0, 0, 0, 0}},
    Call{"keyctl", SYS_keyctl, {KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0, 0, 0}},
    Call{"add_key", SYS_add_key, {0, 0, 0, 0, 0}},
    Call{"init_module", SYS_init_module, {0, 0, 0, 0, 0}},
    Call{"kexec_load", SYS_kexec_load, {0, 0, 0, 0, 0}},
    Call{"open_by_handle_at", SYS_open_by_handle_at, {AT_FDCWD, 0, 0, 0, 0}},
    Call{"setns", SYS_setns, {-1, 0, 0, 0, 0}},
    Call{"kcmp", SYS_kcmp, {1, 1, 0, 0, 0}},
};

AttackResult ForbiddenCalls(const AttackPlan&) {
  std::string reached;
  for (const Call& call : kForbidden) {
    const auto& a = call.arguments;
    const long result = syscall(call.number, a[0], a[1], a[2], a[3], a[4]);
    // EPERM and ENOSYS are what the filter answers; any other error means that the kernel's own
    // code ran. (It may answer EPERM itself: then nothing was gained either.)
    const bool stopped = result < 0 && (errno == EPERM || errno == ENOSYS || errno == EACCES);
    if (!stopped) reached += (reached.empty() ? "" : " ") + std::string(call.name);
  }
  return reached.empty() ? Held(std::to_string(kForbidden.size()) + " calls")
                         : Broken("reached the kernel: " + reached);
}

AttackResult ForeignArchitecture(const AttackPlan&) {
#if defined(__x86_64__)
  long result = 20;  // getpid of the 32-bit table
  asm volatile("int $0x80" : "+a"(result) : : "memory", "cc");
  return result > 0 ? Broken("a 32-bit call was carried out") : Held("refused");
#else
  return NotTried("only on x86-64");
#endif
}

AttackResult PushTerminalInput(const AttackPlan&) {
  const auto master = sys::OpenAt(AT_FDCWD, "/dev/ptmx", O_RDWR | O_NOCTTY);
  if (!master.ok()) return Held("no terminal can be made");
  if (grantpt(master->get()) != 0 || unlockpt(master->get()) != 0) return NotTried("unlockpt");
  std::array<char, 64> name{};
  if (ptsname_r(master->get(), name.data(), name.size()) != 0) return NotTried("ptsname");
  setsid();
  (void)signal(SIGHUP, SIG_IGN);  // comes when the terminal is closed again
  const auto terminal = sys::OpenAt(AT_FDCWD, name.data(), O_RDWR);  // becomes the controlling one
  if (!terminal.ok()) return NotTried("cannot open " + std::string(name.data()));
  char byte = 'x';
  if (ioctl(terminal->get(), TIOCSTI, &byte) >= 0) return Broken("TIOCSTI succeeded");
  const int code = errno;
  // The kernel reads 32 bits of the request; a filter that compares 64 is passed by this one.
  if (syscall(SYS_ioctl, terminal->get(), 0x100000000UL | TIOCSTI, &byte) >= 0) {
    return Broken("TIOCSTI with high bits succeeded");
  }
  return Held("TIOCSTI: " + ErrnoName(code));
}

constexpr std::array kAttacks = {
    Attack{"new-user-namespace", "get rights in a new user namespace", NewUserNamespace},
    Attack{"clone-user-namespace", "the same by clone", CloneUserNamespace},
    Attack{"mount", "mount a file system", MountTmpfs},
    Attack{"mount-api", "the same by the new mount calls; unmount", NewMountApi},
    Attack{"chroot", "change the root directory", ChangeRoot},
    Attack{"forbidden-calls", "reach rarely used parts of the kernel", ForbiddenCalls},
    Attack{"foreign-architecture", "make a 32-bit system call", ForeignArchitecture},
    Attack{"push-terminal-input", "type into a terminal (TIOCSTI)", PushTerminalInput},
};

}  // namespace

std::span<const Attack> KernelAttacks() {
  return kAttacks;
}

}  // namespace cellrun::doctor
