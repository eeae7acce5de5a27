// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "launcher/doctor/child.h"
#include "launcher/doctor/probe.h"
#include "lib/sys/file.h"
#include "lib/sys/landlock.h"
#include "lib/sys/memory.h"
#include "lib/sys/process.h"

namespace cellrun::doctor {
namespace {

Observation Observe(const Result<Reply>& reply) {
  if (!reply.ok()) return Missing(reply.error().ToString());
  if (reply->code != 0) return Missing(reply->text);
  return Present();
}

Reply ToReply(const Result<void>& result) {
  return result.ok() ? Reply{} : Failed(result.error());
}

Observation LookAtLandlock() {
  const int abi = sys::LandlockAbi();
  if (abi < 1) return Missing("not built in, or not in the kernel's lsm= list");
  const auto reply = InChild([]() -> Reply {
    auto work = []() -> Result<void> {
      uapi::LandlockRulesetAttr attributes{};
      attributes.handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE;
      const UniqueFd rules = TRY(sys::LandlockCreateRuleset(attributes));
      TRY(sys::NoNewPrivileges());
      TRY(sys::LandlockRestrictSelf(rules));
      // Nothing may be executed now: the rule set allows no path.
      const char* arguments[] = {"/bin/true", nullptr};
      execv(arguments[0], const_cast<char**>(arguments));
      return errno == EACCES ? Result<void>() : ErrnoError("execve under Landlock");
    }();
    return ToReply(work);
  });
  Observation seen = Observe(reply);
  if (seen.state == State::kPresent) seen.detail = "ABI " + std::to_string(abi);
  return seen;
}

Observation LookAtLandlockScopes() {
  uapi::LandlockRulesetAttr attributes{};
  attributes.scoped = uapi::kLandlockScopeAbstractUnixSocket | uapi::kLandlockScopeSignal;
  const auto rules = sys::LandlockCreateRuleset(attributes);
  return rules.ok() ? Present() : Missing(rules.error().ToString());
}

Observation LookAtKeyring() {
  return Observe(InChild([] { return ToReply(sys::JoinNewSessionKeyring()); }));
}

Observation LookAtCapabilities() {
  return Observe(InNamespaces(CLONE_NEWUSER, []() -> Reply {
    if (auto set = sys::NoNewPrivileges(); !set.ok()) return Failed(set.error());
    return ToReply(sys::DropCapabilities());
  }));
}

Observation LookAtOpenat2() {
  const auto opened = sys::OpenAt2(
      AT_FDCWD, "/",
      {.flags = O_PATH | O_CLOEXEC, .mode = 0, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS});
  return opened.ok() ? Present() : Missing(opened.error().ToString());
}

Observation LookAtCloseRange() {
  return Observe(InChild([]() -> Reply {
    // Only makes descriptors close at an exec that never comes: the reply still needs its pipe.
    return ToReply(sys::CloseRange(3, ~0U, CLOSE_RANGE_CLOEXEC));
  }));
}

Observation LookAtMemfd() {
  const auto memfd = sys::MakeSealedMemfd("cellrun-doctor", "x");
  return memfd.ok() ? Present() : Missing(memfd.error().ToString());
}

long Bpf(int command, bpf_attr& attributes) {
  return syscall(SYS_bpf, command, &attributes, sizeof(attributes));
}

Result<UniqueFd> LoadConnectProgram() {
  std::array<bpf_insn, 2> program{};
  program[0].code = BPF_ALU64 | BPF_MOV | BPF_K;  // r0 = 1
  program[0].imm = 1;
  program[1].code = BPF_JMP | BPF_EXIT;
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
  attributes.expected_attach_type = BPF_CGROUP_INET4_CONNECT;
  attributes.insns = reinterpret_cast<std::uintptr_t>(program.data());
  attributes.insn_cnt = program.size();
  attributes.license = reinterpret_cast<std::uintptr_t>("Apache-2.0");
  const long fd = Bpf(BPF_PROG_LOAD, attributes);
  if (fd < 0) return ErrnoError("bpf(BPF_PROG_LOAD)");
  return UniqueFd(static_cast<int>(fd));
}

Result<void> AttachTo(const std::string& cgroup, const UniqueFd& program) {
  const UniqueFd directory =
      TRY(sys::OpenAt(AT_FDCWD, cgroup.c_str(), O_RDONLY | O_DIRECTORY).With(cgroup));
  bpf_attr attributes{};
  attributes.link_create.prog_fd = static_cast<std::uint32_t>(program.get());
  attributes.link_create.target_fd = static_cast<std::uint32_t>(directory.get());
  attributes.link_create.attach_type = BPF_CGROUP_INET4_CONNECT;
  const long fd = Bpf(BPF_LINK_CREATE, attributes);
  if (fd < 0) return ErrnoError("bpf(BPF_LINK_CREATE)");
  const UniqueFd detaches(static_cast<int>(fd));
  return {};
}

// One hook, around an empty cgroup of our own.
Result<void> TryWall(const std::string& cgroup) {
  const UniqueFd program = TRY(LoadConnectProgram());
  TRY(sys::MkdirAt(AT_FDCWD, cgroup.c_str(), 0755).With(cgroup));
  const Result<void> attached = AttachTo(cgroup, program);
  (void)sys::UnlinkAt(AT_FDCWD, cgroup.c_str(), AT_REMOVEDIR);  // empty, ours; nothing else to do
  return attached;
}

Observation LookAtWall() {
  if (geteuid() != 0) {
    return {.state = State::kNotNeeded, .detail = "only cells that root starts have it", .fix = ""};
  }
  const std::string own = OwnCgroup();
  if (own.empty())
    return Missing("cgroup v2 is not mounted", "mount -t cgroup2 cgroup2 /sys/fs/cgroup");
  const Result<void> tried = TryWall(own + "/cellrun-doctor-" + std::to_string(getpid()));
  return tried.ok() ? Present() : Missing(tried.error().ToString());
}

constexpr std::array kProbes = {
    Probe{"kernel", "capabilities can be dropped", Need::kRequired,
          "a cell would keep rights over its namespaces", "", LookAtCapabilities, kUserNamespaces},
    Probe{"kernel", "openat2", Need::kRequired, "paths of a cell cannot be resolved safely",
          "use Linux 5.6 or later", LookAtOpenat2},
    Probe{"kernel", "close_range", Need::kRequired, "a cell could inherit descriptors of the host",
          "use Linux 5.11 or later", LookAtCloseRange},
    Probe{"kernel", "sealed memory files", Need::kRequired,
          "launcher and broker cannot hand each other large messages",
          "use a kernel with MEMFD_CREATE", LookAtMemfd},
    Probe{"kernel", "Landlock", Need::kRecommended,
          "images that no rule allows are refused by the broker only, not by the kernel as well",
          "add landlock to the kernel's lsm= list and reboot", LookAtLandlock},
    Probe{"kernel", "Landlock scopes", Need::kInformation,
          "signals and abstract sockets are confined by namespaces only", "use Linux 6.12 or later",
          LookAtLandlockScopes},
    Probe{"kernel", "session keyring of its own", Need::kRecommended,
          "a cell shares the user's keyring; the filter still refuses its calls",
          "inside a container, allow keyctl", LookAtKeyring},
    Probe{
        "kernel", "eBPF on a cgroup", Need::kInformation,
        "no second wall around the network of a cell; a profile that requires ebpf does not start",
        "allow bpf(2) and a cgroup of its own to root", LookAtWall},
};

}  // namespace

std::span<const Probe> ConfinementProbes() {
  return kProbes;
}

}  // namespace cellrun::doctor
