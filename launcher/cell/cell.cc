// SPDX-License-Identifier: Apache-2.0
#include "launcher/cell/cell.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "launcher/cell/causes.h"
#include "launcher/cell/id_map.h"
#include "launcher/cell/steps.h"
#include "lib/sys/file.h"
#include "lib/sys/landlock.h"
#include "lib/sys/process.h"
#include "lib/sys/ptrace.h"
#include "lib/sys/socket.h"

namespace cellrun::launcher {
namespace {

// The others are the child's work (MakeNamespaces), on its own core: most of their time is the
// network's, and the broker, which is woken on ours, waits for that long. That of cgroups must be
// there before the child is put into those that limit it.
constexpr std::uint64_t kNamespaces = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWCGROUP;

// Root: idmapping takes capabilities over the file system, so these trees are made here. They are
// detached, and may be attached in the cell's mount namespace.
Outcome<std::vector<UniqueFd>> MakeMappedTrees(const wire::CellPlan& plan) {
  std::vector<UniqueFd> trees(plan.mounts.size());
  IdMapper mapper(plan.host_uid, plan.host_gid);
  for (std::size_t i = 0; i < plan.mounts.size(); ++i) {
    const wire::MountStep& step = plan.mounts[i];
    if (step.kind != wire::MountKind::kBind || !step.id_map) continue;
    Result<UniqueFd> tree = mapper.CloneMapped(step);
    if (!tree.ok() && tree.error().code() == ENOENT && step.optional) continue;
    if (!tree.ok()) return ExplainIdMap(step, tree.error());
    trees[i] = std::move(tree).value();
  }
  return trees;
}

Result<void> SendTrees(const UniqueFd& orders, const std::vector<UniqueFd>& trees) {
  TreesOrder order;
  std::vector<int> fds;
  const auto send = [&]() -> Result<void> {
    order.count = static_cast<std::uint32_t>(fds.size());
    TRY(sys::SendMessage(orders, {reinterpret_cast<const char*>(&order), sizeof order}, fds));
    fds.clear();
    return {};
  };
  for (std::size_t i = 0; i < trees.size(); ++i) {
    if (!trees[i].valid()) continue;
    order.places[fds.size()] = static_cast<std::uint32_t>(i);
    fds.push_back(trees[i].get());
    if (fds.size() == sys::kMaxMessageFds) TRY(send());
  }
  order.last = 1;
  return send();
}

Result<void> WriteMaps(const wire::CellPlan& plan, pid_t pid) {
  const std::string proc = "/proc/" + std::to_string(pid);
  const auto line = [](std::uint32_t inside, std::uint32_t outside) {
    return std::to_string(inside) + " " + std::to_string(outside) + " 1";
  };
  TRY(sys::WriteExistingFile((proc + "/uid_map").c_str(), line(plan.inside_uid, plan.host_uid)));
  return sys::WriteExistingFile((proc + "/gid_map").c_str(), line(plan.inside_gid, plan.host_gid));
}

std::optional<ErrorForm> CheckIdentity(const wire::CellPlan& plan, bool by_root) {
  const bool fits = by_root ? plan.host_uid != 0 && plan.host_gid != 0
                            : plan.host_uid == geteuid() && plan.host_gid == getegid();
  if (fits) return std::nullopt;
  return ErrorForm{
      "the broker's plan names a wrong user for the cell",
      "uid " + std::to_string(plan.host_uid) + ", gid " + std::to_string(plan.host_gid), ""};
}

// Each reaches the kernel's own code in every process, with this one as the target, unless
// something around it refuses the call.
Result<void> TrySupervisorCalls() {
  char byte = 'x';
  char copy = 0;
  const iovec local{.iov_base = &copy, .iov_len = 1};
  const iovec remote{.iov_base = &byte, .iov_len = 1};
  (void)TRY(sys::ProcessVmReadv(getpid(), {&local, 1}, {&remote, 1}));
  const UniqueFd self = TRY(sys::PidfdOpen(getpid()));
  (void)TRY(sys::PidfdGetfd(self, self.get()));
  // Nobody traces itself: ESRCH is the kernel's own answer.
  const Result<void> detached = sys::PtraceDetach(getpid(), 0);
  if (!detached.ok() && detached.error().code() != ESRCH) return detached;
  return {};
}

}  // namespace

std::vector<ErrorForm> FindObstacles() {
  std::vector<ErrorForm> obstacles;
  const Result<std::string> scope =
      sys::ReadWholeFileAt(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope", 16);
  if (scope.ok() && scope->starts_with('3')) {
    obstacles.push_back(
        {"no cell can be supervised on this host",
         "kernel.yama.ptrace_scope is 3: nobody may attach to a process, so no exec could be "
         "verified",
         "set kernel.yama.ptrace_scope to 2 or less in /etc/sysctl.d and restart the host"});
  }
  if (const Result<void> tried = TrySupervisorCalls(); !tried.ok())
    obstacles.push_back(ExplainSupervision(tried.error()));
  return obstacles;
}

std::vector<std::string> FindLostLayers(const wire::CellPlan& plan) {
  std::vector<std::string> lost;
  if (!plan.landlock.empty() && sys::LandlockAbi() == 0) lost.emplace_back("landlock");
  return lost;
}

Outcome<StartedCell> StartCell(const UniqueFd& control, const UniqueFd& shim,
                               const UniqueFd& cgroup) {
  Result<sys::Pipe> report = sys::Pipe2(O_CLOEXEC);
  Result<std::pair<UniqueFd, UniqueFd>> orders = sys::SocketPair(SOCK_SEQPACKET);
  if (!report.ok()) return ExplainNamespaces(report.error());
  if (!orders.ok()) return ExplainNamespaces(orders.error());
  // Asked here: in the child they are the overflow id.
  const uid_t user = geteuid();
  const gid_t group = getegid();
  int pidfd = -1;
  clone_args arguments{};
  arguments.flags = kNamespaces | CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
  arguments.exit_signal = SIGCHLD;
  if (cgroup.valid()) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<unsigned>(cgroup.get());
  }
  arguments.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  const Result<pid_t> pid = sys::Clone3(arguments);
  if (!pid.ok()) return ExplainNamespaces(pid.error());
  if (*pid == 0) {
    orders->first.Reset();  // so that the launcher's end shows as end of file
    ChildState child{.control = control,
                     .shim = shim,
                     .orders = orders->second,
                     .report = report->write,
                     .by_root = user == 0,
                     .launcher_uid = user,
                     .launcher_gid = group,
                     .plan = {},
                     .trees = {},
                     .prepared = {},
                     .quotas = {},
                     .cell_shim = {},
                     .denials = {},
                     .scripts = {},
                     .broker = {},
                     .resolver_sockets = {},
                     .gateway = {},
                     .gateway_sockets = {}};
    RunSteps(child);
  }
  return StartedCell{sys::ChildProcess(*pid, UniqueFd(pidfd)), std::move(orders->first),
                     std::move(report->read)};
}

std::optional<ErrorForm> EnterCgroups(const StartedCell& cell,
                                      const std::vector<UniqueFd>& directories) {
  const std::string pid = std::to_string(cell.init.pid());
  for (const UniqueFd& directory : directories) {
    const Result<UniqueFd> processes = sys::OpenAt(directory.get(), "cgroup.procs", O_WRONLY);
    const Result<void> entered =
        processes.ok() ? sys::WriteAll(*processes, pid) : Result<void>(processes.error());
    if (entered.ok() || entered.error().code() == ESRCH) continue;  // it says itself why it ended
    const std::string shown =
        sys::ReadLinkAt(AT_FDCWD, ("/proc/self/fd/" + std::to_string(directory.get())).c_str())
            .value_or("");
    return ErrorForm{"the cell cannot be limited",
                     "entering its cgroup " + shown + ": " + entered.error().ToString(),
                     "cellrun doctor"};
  }
  return std::nullopt;
}

Result<void> ForwardPlan(const StartedCell& cell, const sys::Message& plan) {
  std::vector<int> fds;
  for (const UniqueFd& fd : plan.fds) fds.push_back(fd.get());
  Result<void> sent = sys::SendMessage(cell.orders, plan.bytes, fds);
  if (!sent.ok() && sent.error().code() == EPIPE)
    return {};  // it has ended, and its report says why
  return sent;
}

std::optional<ErrorForm> GivePlan(StartedCell& cell, const wire::CellPlan& plan) {
  const bool by_root = geteuid() == 0;
  if (std::optional<ErrorForm> wrong = CheckIdentity(plan, by_root)) return wrong;
  if (!by_root) return std::nullopt;
  Outcome<std::vector<UniqueFd>> trees = MakeMappedTrees(plan);
  if (ErrorForm* unmapped = std::get_if<ErrorForm>(&trees)) return std::move(*unmapped);
  const Result<void> written = WriteMaps(plan, cell.init.pid());
  if (!written.ok()) return ExplainNamespaces(written.error());
  const Result<void> sent = SendTrees(cell.orders, std::get<0>(trees));
  if (!sent.ok() && sent.error().code() != EPIPE) return ExplainNamespaces(sent.error());
  return std::nullopt;
}

Outcome<std::vector<std::string>> FinishCell(const wire::CellPlan& plan, StartedCell& cell,
                                             const std::function<void()>& await) {
  std::vector<std::string> notes;
  for (;;) {
    Report report;
    await();
    // Shorter than PIPE_BUF: a report comes whole.
    const Result<std::size_t> got =
        sys::Read(cell.report, {reinterpret_cast<char*>(&report), sizeof report});
    if (!got.ok())
      return ErrorForm{"cannot follow the start of the cell", got.error().ToString(), ""};
    if (*got == 0) break;  // its exec closed the pipe, or it died
    if (*got != sizeof report)
      return ErrorForm{"cannot follow the start of the cell", "half a report", ""};
    if (report.kind == ReportKind::kFailure) return ExplainStep(plan, report);
    notes.push_back(DescribeNote(plan, report));
  }
  cell.report.Reset();
  return notes;
}

}  // namespace cellrun::launcher
