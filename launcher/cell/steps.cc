// SPDX-License-Identifier: Apache-2.0
#include "launcher/cell/steps.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "lib/sys/file.h"
#include "lib/sys/network.h"
#include "lib/sys/process.h"
#include "lib/sys/socket.h"
#include "lib/wire/control.h"

namespace cellrun::launcher {
namespace {

constexpr int kFailedStatus = 125;

// /dev/tty would otherwise open the operator's terminal, where TIOCSTI types commands.
Result<void> LeaveTerminal(ChildState& /*child*/) {
  return sys::NewSession();
}
Result<void> RaiseLoopback(ChildState& /*child*/) {
  return sys::RaiseLoopback();
}
Result<void> NameHost(ChildState& child) {
  return sys::SetHostName(child.plan.hostname);
}
Result<void> NoNewPrivileges(ChildState& /*child*/) {
  return sys::NoNewPrivileges();
}

Result<void> ReplaceKeyring(ChildState& /*child*/) {
  Result<void> joined = sys::JoinNewSessionKeyring();
  // No keyrings in this kernel, or an outer filter (a container's) forbids them all: then there are
  // none to keep apart.
  if (!joined.ok() && (joined.error().code() == ENOSYS || joined.error().code() == EPERM))
    return {};
  return joined;
}

// ETOOMANYREFS: this user has more descriptors under way, in all processes, than this one may have
// open by now. They arrive.
Result<void> Announce(const ChildState& child, std::uint32_t type, const std::vector<int>& fds) {
  constexpr int kTries = 2000;
  constexpr timespec kPause{.tv_sec = 0, .tv_nsec = 1'000'000};
  wire::ControlHeader header{};
  header.type = type;
  const std::string_view bytes(reinterpret_cast<const char*>(&header), sizeof header);
  Result<void> sent = sys::SendMessage(child.control, bytes, fds);
  for (int i = 1; i < kTries && !sent.ok() && sent.error().code() == ETOOMANYREFS; ++i) {
    (void)nanosleep(&kPause, nullptr);
    sent = sys::SendMessage(child.control, bytes, fds);
  }
  return sent;
}

Result<void> AnnounceGateway(ChildState& child) {
  if (!child.gateway.valid()) return {};
  std::vector<int> fds = {child.gateway.get()};
  for (const UniqueFd& made : child.gateway_sockets) fds.push_back(made.get());
  return Announce(child, wire::kGatewayBuilt, fds);
}

Result<void> AnnounceCell(ChildState& child) {
  TRY(AnnounceGateway(child));
  // With these the broker mounts again what the host's replacement of a file takes away.
  const UniqueFd user = TRY(sys::OpenAt(AT_FDCWD, "/proc/self/ns/user", O_RDONLY));
  const UniqueFd mount = TRY(sys::OpenAt(AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY));
  std::vector<int> fds = {child.cell_shim.get(), child.denials.get(), user.get(),
                          mount.get(),           child.scripts.get(), child.broker.get()};
  UniqueFd network_witness;
  if (!child.plan.cgroup.empty()) {
    network_witness = TRY(sys::UnixSocket(SOCK_DGRAM));
    fds.push_back(network_witness.get());
  }
  for (const UniqueFd& made : child.resolver_sockets) fds.push_back(made.get());
  return Announce(child, wire::kCellBuilt, fds);
}

// What init keeps: the cell's own /dev/null three times, the control socket, and until its exec the
// report.
Result<void> ArrangeDescriptors(ChildState& child) {
  // First above everything that is about to be replaced.
  constexpr int kReportFd = wire::kControlFd + 1;
  constexpr int kSafe = 16;
  const UniqueFd control(fcntl(child.control.get(), F_DUPFD_CLOEXEC, kSafe));
  const UniqueFd report(fcntl(child.report.get(), F_DUPFD_CLOEXEC, kSafe));
  if (!control.valid() || !report.valid()) return ErrnoError("fcntl(F_DUPFD_CLOEXEC)");
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null.valid() && null.get() < wire::kControlFd)
    null = UniqueFd(fcntl(null.get(), F_DUPFD_CLOEXEC, kSafe));
  for (int fd = 0; fd < wire::kControlFd; ++fd) {
    if (null.valid()) {
      TRY(sys::DuplicateTo(null, fd));
    } else {
      (void)close(fd);  // a plan without /dev/null; EBADF: it was not open
    }
  }
  TRY(sys::DuplicateTo(control, wire::kControlFd));
  if (dup3(report.get(), kReportFd, O_CLOEXEC) < 0) return ErrnoError("dup3");
  return {};
}

Result<void> BecomeInit(ChildState& /*child*/) {
  std::array<char, 5> name = {'i', 'n', 'i', 't', '\0'};
  const std::array<char*, 2> argv = {name.data(), nullptr};
  const std::array<char*, 1> environment = {nullptr};
  execve(wire::kShimPath, argv.data(), environment.data());
  return ErrnoError("execve");
}

constexpr Step::Detail kNone = Step::Detail::kNone;

// The order is the point: what a step needs of the steps before it stands beside it.
constexpr std::array kSteps = {
    Step{"make the cell's namespaces", MakeNamespaces, kNone},
    Step{"leave the terminal", LeaveTerminal, kNone},
    // What no plan changes, while the broker makes it; and while /proc/self is ours to write: a
    // process that changed its ids is not dumpable.
    Step{"use the host's /proc", UseHostProc, kNone},
    Step{"raise the loopback", RaiseLoopback, kNone},
    Step{"open the resolver's sockets", OpenResolver, kNone},
    Step{"map the cell's user", BecomeCaller, kNone},
    Step{"prepare mounts", PrepareSources, kNone},
    Step{"prepare the tree", PrepareTree, kNone},
    Step{"receive the plan", ReceivePlan, kNone},
    // While /proc/sys/net is ours to write.
    Step{"join the gateway", JoinGateway, kNone},
    // While the host's files are still ours to open.
    Step{"open mount source", OpenSources, Step::Detail::kMount},
    Step{"receive mapped trees", ReceiveTrees, kNone},
    Step{"become the cell's user", BecomeCellUser, kNone},
    // While a whole /proc is in sight.
    Step{"prepare proc", PrepareProc, kNone},
    Step{"enter the new root", EnterRoot, kNone},
    Step{"mount", RunMounts, Step::Detail::kMount},
    Step{"seal the root", SealRoot, kNone},
    // After the last mount: each detached one counts as a mount namespace.
    Step{"limit kernel objects", LimitKernelObjects, kNone},
    Step{"set the host name", NameHost, kNone},
    Step{"set limit", SetLimits, Step::Detail::kLimit},
    Step{"make a session keyring", ReplaceKeyring, kNone},
    Step{"no new privileges", NoNewPrivileges, kNone},
    Step{"apply Landlock", ApplyLandlock, Step::Detail::kRule},
    // After everything that needs one.
    Step{"drop capabilities", DropRights, kNone},
    Step{"announce the cell", AnnounceCell, kNone},
    Step{"arrange descriptors", ArrangeDescriptors, kNone},
};

}  // namespace

std::span<const Step> CellSteps() {
  return kSteps;
}

void SendReport(const ChildState& child, const Report& report) {
  // Nobody reads it when the launcher died: the control socket is then closed as well.
  (void)sys::Write(child.report, {reinterpret_cast<const char*>(&report), sizeof report});
}
void SendNote(const ChildState& child, Note note, int code) {
  Report report;
  report.kind = ReportKind::kNote;
  report.number = static_cast<std::int32_t>(note);
  report.code = code;
  report.detail = static_cast<std::int32_t>(child.detail);
  SendReport(child, report);
}

void RunSteps(ChildState& child) {
  const auto fail = [&](const UniqueFd& to, std::size_t number, const Error& error) {
    Report report;
    report.number = static_cast<std::int32_t>(number);
    report.code = error.code();
    report.detail = static_cast<std::int32_t>(child.detail);
    strncpy(&report.operation[0], error.operation(), sizeof report.operation - 1);
    (void)sys::Write(to, {reinterpret_cast<const char*>(&report), sizeof report});
    _exit(kFailedStatus);
  };
  for (std::size_t number = 0; number < kSteps.size(); ++number) {
    child.detail = 0;
    const Result<void> done = kSteps[number].run(child);
    if (!done.ok()) fail(child.report, number, done.error());
  }
  // From here the report is descriptor 4 and everything above it is gone: the owners must not close
  // again.
  constexpr unsigned kFirstUnwanted = wire::kControlFd + 2;
  const UniqueFd report(wire::kControlFd + 1);
  const Result<void> closed = sys::CloseRange(kFirstUnwanted, ~0U, 0);
  if (!closed.ok()) fail(report, kSteps.size(), closed.error());
  fail(report, kSteps.size(), BecomeInit(child).error());
  _exit(kFailedStatus);
}

}  // namespace cellrun::launcher
