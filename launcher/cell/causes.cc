// SPDX-License-Identifier: Apache-2.0
#include "launcher/cell/causes.h"

#include <fcntl.h>
#include <linux/capability.h>

#include <array>
#include <cstdlib>

#include "lib/sys/file.h"
#include "lib/wire/control.h"

namespace cellrun::launcher {
namespace {

// A host setting that forbids user namespaces, and how it is lifted.
struct Switch {
  const char* path;
  char forbids;  // its value's first character then
  const char* cause;
  const char* fix;
};
constexpr std::array kSwitches = {
    Switch{"/proc/sys/kernel/unprivileged_userns_clone", '0',
           "unprivileged user namespaces are off (kernel.unprivileged_userns_clone = 0)",
           "sudo sysctl kernel.unprivileged_userns_clone=1"},
    Switch{"/proc/sys/user/max_user_namespaces", '0',
           "no user namespace may be made (user.max_user_namespaces = 0)",
           "sudo sysctl user.max_user_namespaces=15000"},
    Switch{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", '1',
           "AppArmor keeps unprivileged user namespaces to named programs "
           "(kernel.apparmor_restrict_unprivileged_userns = 1)",
           "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile "
           "with `userns,` for cellrun"},
};

bool IsRefusal(int code) {
  return code == EPERM || code == EACCES || code == ENOSYS;
}

// The rest of the line of /proc/self/status that begins with `key`; "" if there is none.
std::string OwnStatus(std::string_view key) {
  const Result<std::string> text = sys::ReadWholeFileAt(AT_FDCWD, "/proc/self/status", 65536);
  if (!text.ok()) return "";
  const std::size_t start = text->find("\n" + std::string(key) + ":\t");
  if (start == std::string::npos) return "";
  const std::size_t value = start + key.size() + 3;
  return text->substr(value, text->find('\n', value) - value);
}

bool HasCapability(unsigned capability) {
  return ((std::strtoull(OwnStatus("CapEff").c_str(), nullptr, 16) >> capability) & 1U) != 0;
}

// "" when no profile of AppArmor is enforced on this process.
std::string AppArmorProfile() {
  const Result<std::string> label =
      sys::ReadWholeFileAt(AT_FDCWD, "/proc/self/attr/apparmor/current", 4096);
  if (!label.ok() || label->find(" (enforce)") == std::string::npos) return "";
  return label->substr(0, label->find(" (enforce)"));
}

// What was put around this process before it began, and so forbids what the kernel itself would
// allow.
void BlameSurroundings(ErrorForm& form) {
  if (sys::FstatAt(AT_FDCWD, wire::kShimPath, 0).ok()) {
    form.cause = "this is a cell, and cells do not nest";
    form.suggest = "run cellrun outside of the cell";
    return;
  }
  const bool filtered = OwnStatus("Seccomp") == "2";
  const std::string profile = AppArmorProfile();
  if (!filtered && profile.empty()) return;
  form.cause = filtered ? "a seccomp filter around cellrun, such as a container's default one, "
                          "forbids it"
                        : "the AppArmor profile " + profile + " forbids it";
  if (filtered && !profile.empty()) form.cause += "; so may the AppArmor profile " + profile;
  form.suggest = std::string("start the container with") +
                 (filtered ? " --security-opt seccomp=unconfined" : "") +
                 (profile.empty() ? "" : " --security-opt apparmor=unconfined") +
                 (filtered ? "; a service without SystemCallFilter= and RestrictNamespaces=" : "");
}

bool IsForbidden(const Switch& setting) {
  const Result<std::string> value = sys::ReadWholeFileAt(AT_FDCWD, setting.path, 32);
  return value.ok() && value->starts_with(setting.forbids);
}

std::string StepSubject(const wire::CellPlan& plan, const Report& report, Step::Detail detail) {
  const auto index = static_cast<std::size_t>(report.detail);
  switch (detail) {
    case Step::Detail::kMount: {
      if (index >= plan.mounts.size()) return "";
      const wire::MountStep& mount = plan.mounts[index];
      const std::string& path = mount.from.empty() ? mount.to : mount.from;
      return mount.purpose.empty() || mount.purpose == path ? " " + path
                                                            : " " + mount.purpose + " " + path;
    }
    case Step::Detail::kRule:
      return index < plan.landlock.size() ? " for " + plan.landlock[index].path : "";
    case Step::Detail::kLimit:
      return index < plan.limits.size() ? " " + plan.limits[index].name : "";
    case Step::Detail::kNone:
      break;
  }
  return "";
}

}  // namespace

ErrorForm ExplainNamespaces(const Error& error) {
  ErrorForm form{"cannot make the cell's namespaces: " + error.ToString(), "", ""};
  if (!IsRefusal(error.code()) && error.code() != ENOSPC && error.code() != EUSERS) return form;
  for (const Switch& setting : kSwitches) {
    if (!IsForbidden(setting)) continue;
    form.cause = setting.cause;
    form.suggest = setting.fix;
    return form;
  }
  if (error.code() == ENOSPC || error.code() == EUSERS) {
    form.cause = "too many namespaces exist or they are nested too deep (user.max_*_namespaces)";
    form.suggest = "end other cells or containers, or raise user.max_*_namespaces with sysctl";
  } else {
    BlameSurroundings(form);
  }
  if (form.cause.empty()) {
    form.cause = "a security module of this kernel forbids user namespaces, or it has none";
    form.suggest = "allow user namespaces for this user";
  }
  return form;
}

ErrorForm ExplainSupervision(const Error& error) {
  ErrorForm form{"no cell can be supervised here: " + error.ToString(), "", ""};
  BlameSurroundings(form);
  if (form.cause.empty()) {
    form.cause = "a security module of this kernel forbids it, or it is not built in";
    form.suggest = "cellrun doctor";
  }
  return form;
}

ErrorForm ExplainIdMap(const wire::MountStep& step, const Error& error) {
  ErrorForm form{step.purpose + " " + step.from + ": " + error.ToString(), "", ""};
  if (error.code() == EINVAL || error.code() == EOPNOTSUPP) {
    form.what = step.purpose + " " + step.from + ": this file system cannot map ids";
    form.cause =
        "a cell run by root has its own user, and its files must be shown to that user (idmapped "
        "mount)";
    form.suggest = "run cellrun as the owner of the files, or keep them on ext4, xfs or btrfs";
  } else if (error.code() == EPERM && !HasCapability(CAP_SYS_ADMIN)) {
    form.cause =
        "a cell run by root has a user of its own, and this root may not map files to it: it has "
        "no CAP_SYS_ADMIN, as in most containers";
    form.suggest =
        "run cellrun as an ordinary user (docker run --user 1000:1000), or start the container "
        "with --cap-add SYS_ADMIN";
  } else if (error.code() == EPERM) {
    form.cause =
        "ids can be mapped only on a file system of this user namespace that is not mapped already";
    form.suggest = "run cellrun as the owner of the files";
  }
  return form;
}

ErrorForm ExplainStep(const wire::CellPlan& plan, const Report& report) {
  const auto number = static_cast<std::size_t>(report.number);
  const Error error(report.code, &report.operation[0]);
  if (number >= CellSteps().size()) {
    return {"start init: " + error.ToString(), "the cell's copy of the shim cannot be executed",
            report.code == EACCES ? "a profile must not mount /run/cellrun or make it noexec" : ""};
  }
  const Step& step = CellSteps()[number];
  if (step.run == MakeNamespaces) return ExplainNamespaces(error);
  ErrorForm form{
      std::string(step.name) + StepSubject(plan, report, step.detail) + ": " + error.ToString(), "",
      ""};
  if ((step.run == BecomeCaller || step.run == BecomeCellUser) &&
      (report.code == EPERM || report.code == EACCES)) {
    form.cause = ExplainNamespaces(Error(report.code, "")).cause;
    form.suggest = ExplainNamespaces(Error(report.code, "")).suggest;
  } else if (step.detail == Step::Detail::kMount && report.code == ENOENT) {
    form.cause = "it is not there (any more)";
  } else if (step.detail == Step::Detail::kMount && report.code == EACCES) {
    form.cause = "you may not reach it";
  } else if (IsRefusal(report.code)) {
    BlameSurroundings(form);
  }
  return form;
}

std::string DescribeNote(const wire::CellPlan& plan, const Report& report) {
  const auto index = static_cast<std::size_t>(report.detail);
  switch (static_cast<Note>(report.number)) {
    case Note::kProcBound:
      return "no /proc of its own: this container's is shown inside, with the command lines of its "
             "other processes; --security-opt systempaths=unconfined for the container prevents "
             "that";
    case Note::kProcNotHiding:
      return "this kernel cannot hide init in /proc (hidepid)";
    case Note::kFileSkipped:
      return (index < plan.mounts.size() ? plan.mounts[index].to : "a file") +
             " is absent: its directory is read-only";
    case Note::kQuotasNotSet:
      return "the kernel's per-user quotas are shared with the host: /proc/sys/user: " +
             ErrnoText(report.code);
    case Note::kOomScoreNotSet:
      return "when memory runs out, the host's programs may end before the cell's: "
             "/proc/self/oom_score_adj: " +
             ErrnoText(report.code);
    case Note::kLandlockOff:
      return "not enforced: Landlock is not in this kernel or switched off";
    case Note::kLowPortsClosed:
      return "no connection to a port below 1024 can be let out: ip_unprivileged_port_start: " +
             ErrnoText(report.code);
  }
  return "";
}

}  // namespace cellrun::launcher
