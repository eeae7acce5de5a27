// SPDX-License-Identifier: Apache-2.0
#include "broker/notify/supervisor.h"

#include <linux/audit.h>
#include <sys/syscall.h>

#include <mutex>
#include <optional>
#include <utility>

#include "broker/exec/exec_handler.h"
#include "broker/exec/resolve.h"
#include "broker/exec/task.h"
#include "broker/nested/nested_handler.h"
#include "broker/notify/connect_handler.h"
#include "broker/notify/denial_log.h"
#include "broker/notify/listener.h"
#include "broker/notify/receivers.h"
#include "broker/notify/repeats.h"
#include "broker/notify/tally.h"
#include "lib/sys/filter.h"
#include "lib/sys/seccomp.h"

namespace cellrun::notify {

class Supervisor::Impl {
 public:
  Impl(Listener listener, CellFacts facts, exec::Resolver resolver, exec::Resolver names,
       OnEnd on_end)
      : listener_(std::move(listener)),
        facts_(std::move(facts)),
        policy_(facts_.policy),
        denials_(facts_.denials),
        repeats_(*facts_.journal, denials_),
        exec_(facts_, listener_, std::move(resolver), denials_, tally_),
        nested_(facts_, listener_, std::move(names)),
        connect_(facts_, listener_, exec_, repeats_, tally_),
        receivers_(listener_, {.handle = [this](const seccomp_notif& notification,
                                                Lane& lane) { Handle(notification, lane); },
                               .next = [this] { return exec_.Next(); },
                               .ended = std::move(on_end)}) {}

  Result<void> Start() { return receivers_.Start(); }
  void Stop() {
    receivers_.Stop();
    repeats_.Flush();
  }
  [[nodiscard]] const Tally& tally() const { return tally_; }
  [[nodiscard]] std::vector<std::string> denials() const { return denials_.lines(); }
  [[nodiscard]] std::string last_denial() const { return denials_.last(); }
  [[nodiscard]] exec::Desk& desk() { return exec_; }
  void ReplacePolicy(std::shared_ptr<const policy::Policy> policy) {
    exec_.ReplacePolicy(policy);
    const std::lock_guard lock(mutex_);
    policy_ = std::move(policy);
  }

 private:
  void Handle(const seccomp_notif& notification, Lane& lane) {
    // The filter kills foreign architectures; their numbers mean other calls.
    if (notification.data.arch != AUDIT_ARCH_X86_64) return Block(notification);
    switch (notification.data.nr) {
      case SYS_execve:
      case SYS_execveat:
        return exec_.Handle(notification, lane);
      case SYS_connect:
        return connect_.Handle(notification, lane, policy()->profile());
      case SYS_prlimit64:
      case SYS_sched_setparam:
      case SYS_sched_setscheduler:
      case SYS_sched_setattr:
      case SYS_sched_setaffinity:
        return NameThread(notification, notification.data.args[0]);
      case SYS_setpriority:
      case SYS_ioprio_set:
        return NameThread(notification, notification.data.args[1]);
      case SYS_mount:
        return Mount(notification, lane);
      case SYS_open:
      case SYS_openat:
        if (facts_.nests) return nested_.Open(notification, lane);
        return Block(notification);
      default:
        return Block(notification);
    }
  }

  // A limit, a priority or a processor for a thread that is named by its number.
  void NameThread(const seccomp_notif& notification, std::uint64_t number) {
    const Result<bool> own =
        exec::IsOwnThread(static_cast<pid_t>(notification.pid), static_cast<pid_t>(number));
    if (!own.ok() || !*own) return listener_.Refuse(notification.id, EPERM);
    // CONTINUE-SITE(own-thread, class a): the number is in a register. Should that thread end now
    // and another task get its number, it is one of the cell; init has 1, which the filter refuses.
    (void)sys::SeccompContinue(listener_.fd(), notification.id);
  }

  void Mount(const seccomp_notif& notification, Lane& lane) {
    if (!facts_.nests) return Block(notification);
    const std::string refused = nested_.Mount(notification, lane);
    if (!refused.empty()) Block(notification, refused);
  }

  // The blocked class, and whatever else a filter may report.
  void Block(const seccomp_notif& notification, const std::string& why = "blocked for every cell") {
    ++tally_.syscalls;
    const seccomp_data& data = notification.data;
    const sys::SyscallEntry* entry =
        data.arch == AUDIT_ARCH_X86_64 ? sys::FindSyscall(data.nr) : nullptr;
    journal::Record record = journal::RecordNow(journal::Kind::kSyscall, facts_.cell_id,
                                                notification.pid, facts_.inside_uid, facts_.user);
    record.name = entry != nullptr ? entry->name : "syscall " + std::to_string(data.nr);
    record.verdict = policy::Action::kDeny;
    record.rule.name = "filter";
    record.reason = why;
    record.result = "denied";
    // The same place in a program, so that another caller of the call is seen.
    const std::string key = record.name + " " + std::to_string(data.instruction_pointer);
    repeats_.Note(key, std::move(record));
    listener_.Refuse(notification.id, EPERM);
  }

  [[nodiscard]] std::shared_ptr<const policy::Policy> policy() const {
    const std::lock_guard lock(mutex_);
    return policy_;
  }

  const Listener listener_;
  const CellFacts facts_;
  mutable std::mutex mutex_;
  std::shared_ptr<const policy::Policy> policy_;  // guarded by mutex_
  Tally tally_;
  DenialLog denials_;
  Repeats repeats_;
  exec::ExecHandler exec_;
  nested::NestedHandler nested_;
  ConnectHandler connect_;
  Receivers receivers_;  // last: its threads use all of the above
};

Result<std::unique_ptr<Supervisor>> Supervisor::Start(UniqueFd listener, CellFacts facts,
                                                      OnEnd on_end) {
  CHECK(facts.policy != nullptr && facts.journal != nullptr);
  Listener adopted = TRY(Listener::Adopt(std::move(listener)));
  exec::Resolver resolver =
      TRY(exec::Resolver::ForCell(facts.init_pid).With("opening the cell's root"));
  exec::Resolver names =
      TRY(exec::Resolver::ForCell(facts.init_pid).With("opening the cell's root"));
  auto impl = std::make_unique<Impl>(std::move(adopted), std::move(facts), std::move(resolver),
                                     std::move(names), std::move(on_end));
  TRY(impl->Start());
  return std::unique_ptr<Supervisor>(new Supervisor(std::move(impl)));
}

Supervisor::Supervisor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Supervisor::~Supervisor() {
  impl_->Stop();
}

Counters Supervisor::counters() const {
  const Tally& tally = impl_->tally();
  return {.allowed = tally.allowed,
          .asked = tally.asked,
          .denied = tally.denied,
          .missing = tally.missing,
          .syscalls = tally.syscalls,
          .mismatches = tally.mismatches};
}
std::string Supervisor::last_denial() const {
  return impl_->last_denial();
}
std::vector<std::string> Supervisor::denials() const {
  return impl_->denials();
}
exec::Desk& Supervisor::desk() {
  return impl_->desk();
}
void Supervisor::ReplacePolicy(std::shared_ptr<const policy::Policy> policy) {
  impl_->ReplacePolicy(std::move(policy));
}

}  // namespace cellrun::notify
