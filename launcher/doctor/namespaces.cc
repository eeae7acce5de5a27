// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <array>

#include "launcher/cell/causes.h"
#include "launcher/doctor/child.h"
#include "launcher/doctor/probe.h"
#include "lib/sys/file.h"

namespace cellrun::doctor {
namespace {

struct Namespace {
  unsigned long long flag;
  const char* name;
};
constexpr std::array kNamespaces = {
    Namespace{CLONE_NEWNS, "mount"}, Namespace{CLONE_NEWPID, "pid"},
    Namespace{CLONE_NEWNET, "net"},  Namespace{CLONE_NEWIPC, "ipc"},
    Namespace{CLONE_NEWUTS, "uts"},  Namespace{CLONE_NEWCGROUP, "cgroup"},
};

// "" when it cannot be read.
std::string Setting(const char* path) {
  auto text = sys::ReadWholeFileAt(AT_FDCWD, path, 4096);
  if (!text.ok()) return "";
  std::string value = std::move(text).value();
  while (!value.empty() && (value.back() == '\n' || value.back() == ' ')) value.pop_back();
  return value;
}

Observation WhyNoUserNamespace(const Reply& reply) {
  const launcher::ErrorForm form = launcher::ExplainNamespaces(Error(reply.code, "user namespace"));
  return Missing(reply.text + (form.cause.empty() ? "" : "; " + form.cause), form.suggest);
}

Observation LookAtUserNamespace() {
  const auto reply = InNamespaces(CLONE_NEWUSER | CLONE_NEWNS, [] { return Reply{}; });
  if (!reply.ok()) return Missing(reply.error().ToString());
  if (reply->code != 0) return WhyNoUserNamespace(*reply);
  const std::string most = Setting("/proc/sys/user/max_user_namespaces");
  return Present(most.empty() ? "" : "at most " + most);
}

Observation LookAtOtherNamespaces() {
  unsigned long long all = CLONE_NEWUSER;
  for (const Namespace& one : kNamespaces) all |= one.flag;
  const auto together = InNamespaces(all, [] { return Reply{}; });
  if (together.ok() && together->code == 0) return Present("mount pid net ipc uts cgroup");
  std::string failing;
  for (const Namespace& one : kNamespaces) {
    const auto alone = InNamespaces(CLONE_NEWUSER | one.flag, [] { return Reply{}; });
    if (!alone.ok() || alone->code != 0) {
      failing += (failing.empty() ? "" : " ") + std::string(one.name);
    }
  }
  if (failing.empty()) failing = together.ok() ? together->text : together.error().ToString();
  return Missing("fails: " + failing);
}

Observation LookAtNestedLimits() {
  const auto reply = InNamespaces(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID, []() -> Reply {
    auto written = sys::WriteExistingFile("/proc/sys/user/max_user_namespaces", "0");
    return written.ok() ? Reply{} : Failed(written.error());
  });
  if (!reply.ok()) return Missing(reply.error().ToString());
  if (reply->code != 0) return Missing(reply->text);
  return Present();
}

constexpr std::array kProbes = {
    Probe{"kernel", kUserNamespaces, Need::kRequired,
          "no cell can be built: they give cellrun its rights without being root",
          "allow user namespaces for this user", LookAtUserNamespace},
    Probe{"kernel", "other namespaces", Need::kRequired,
          "a cell would see processes, mounts, network or queues of the host",
          "use a kernel with all namespaces; inside a container, allow clone3 with them",
          LookAtOtherNamespaces, kUserNamespaces},
    Probe{"kernel", "limits per user namespace", Need::kRecommended,
          "a cell could use up this user's namespaces and inotify instances",
          "mount /proc/sys writable (a container: --security-opt systempaths=unconfined)",
          LookAtNestedLimits, kUserNamespaces},
};

}  // namespace

std::span<const Probe> NamespaceProbes() {
  return kProbes;
}

}  // namespace cellrun::doctor
