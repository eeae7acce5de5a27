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

Observation LookAtBpf() {
  if (geteuid() != 0) {
    return {.state = State::kNotNeeded, .detail = "only cells that root starts use it", .fix = ""};
  }
  std::array<bpf_insn, 2> program{};
  program[0].code = BPF_ALU64 | BPF_MOV | BPF_K;  // r0 = 1
  program[0].imm = 1;
  program[1].code = BPF_JMP | BPF_EXIT;
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_SKB;
  attributes.insns = reinterpret_cast<std::uintptr_t>(program.data());
  attributes.insn_cnt = program.size();
  attributes.license = reinterpret_cast<std::uintptr_t>("Apache-2.0");
  const long fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes));
  if (fd < 0) return MissingWithError(errno, "bpf");
  const UniqueFd loaded(static_cast<int>(fd));
  return Present();
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
    Probe{"kernel", "BPF", Need::kInformation, "no second wall around the network of a cell",
          "allow bpf(2) for root", LookAtBpf},
};

}  // namespace

std::span<const Probe> ConfinementProbes() {
  return kProbes;
}

}  // namespace cellrun::doctor
