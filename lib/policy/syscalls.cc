// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/syscalls.h"

#include <algorithm>
#include <array>
#include <span>

namespace cellrun::policy {
namespace {

using Names = std::span<const std::string_view>;

// The blocked set of the filter (docs/filter.md).
constexpr auto kBlocked = std::to_array<std::string_view>({"mount",
                                                           "umount2",
                                                           "pivot_root",
                                                           "chroot",
                                                           "fsopen",
                                                           "fsconfig",
                                                           "fsmount",
                                                           "fspick",
                                                           "open_tree",
                                                           "open_tree_attr",
                                                           "move_mount",
                                                           "mount_setattr",
                                                           "setns",
                                                           "unshare",
                                                           "bpf",
                                                           "ptrace",
                                                           "process_vm_readv",
                                                           "process_vm_writev",
                                                           "process_madvise",
                                                           "pidfd_getfd",
                                                           "kcmp",
                                                           "userfaultfd",
                                                           "perf_event_open",
                                                           "keyctl",
                                                           "add_key",
                                                           "request_key",
                                                           "kexec_load",
                                                           "kexec_file_load",
                                                           "init_module",
                                                           "finit_module",
                                                           "delete_module",
                                                           "reboot",
                                                           "swapon",
                                                           "swapoff",
                                                           "acct",
                                                           "quotactl",
                                                           "quotactl_fd",
                                                           "iopl",
                                                           "ioperm",
                                                           "syslog",
                                                           "lookup_dcookie",
                                                           "vhangup",
                                                           "name_to_handle_at",
                                                           "open_by_handle_at",
                                                           "fanotify_init",
                                                           "settimeofday",
                                                           "clock_settime",
                                                           "clock_adjtime",
                                                           "sethostname",
                                                           "setdomainname",
                                                           "personality",
                                                           "mknod",
                                                           "mknodat",
                                                           "prctl",
                                                           "seccomp",
                                                           "userns",
                                                           "perf"});
constexpr auto kBrokered = std::to_array<std::string_view>({"mknod", "mknodat"});

constexpr auto kPtrace = std::to_array<std::string_view>({"ptrace"});
constexpr auto kUserns = std::to_array<std::string_view>({"userns", "unshare"});
constexpr auto kPerf = std::to_array<std::string_view>({"perf", "perf_event_open"});
constexpr auto kKeyctl = std::to_array<std::string_view>({"keyctl", "add_key", "request_key"});

struct OptIn {
  std::string_view name;
  Names calls;
};
constexpr auto kOptIns = std::to_array<OptIn>(
    {{"ptrace", kPtrace}, {"userns", kUserns}, {"perf", kPerf}, {"keyctl", kKeyctl}});

bool Contains(Names names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

bool IsRuleSyscall(std::string_view name) {
  return Contains(kBlocked, name);
}

bool IsOptIn(std::string_view name) {
  return std::any_of(kOptIns.begin(), kOptIns.end(),
                     [&](const OptIn& opt_in) { return opt_in.name == name; });
}

bool IsBrokered(std::string_view name) {
  return Contains(kBrokered, name);
}

bool AllowsOptIn(const Profile& profile, std::string_view name) {
  const auto opt_in = std::find_if(kOptIns.begin(), kOptIns.end(),
                                   [&](const OptIn& candidate) { return candidate.name == name; });
  if (opt_in == kOptIns.end()) return false;
  for (const SyscallRule& rule : profile.syscall_rules) {
    const bool named = std::any_of(rule.names.begin(), rule.names.end(),
                                   [&](const auto& call) { return Contains(opt_in->calls, call); });
    if (!named) continue;
    if (rule.then != Action::kAllow) return false;
    if (rule.layer != Layer::kFloor) return true;
  }
  return false;
}

}  // namespace cellrun::policy
