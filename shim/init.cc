// SPDX-License-Identifier: Apache-2.0
#include "shim/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/wire/control.h"
#include "shim/children.h"
#include "shim/exit.h"
#include "shim/keeper.h"
#include "shim/protocol.h"
#include "shim/spawn.h"

namespace cellrun::shim {
namespace {

using wire::ControlHeader;
using wire::kControlFd;

// Static: init has no heap, and a cell's stack limit is the cell's choice.
alignas(8) char packet_bytes[kMaxPacketBytes];
Children children;
pollfd polled[2 + kMaxChildren];
bool is_filtered = false;

void Report(const ControlHeader& header, const void* payload = nullptr, int fd = -1) {
  // Nobody listens, or nobody has for a long time: a cell without a broker must not run on.
  if (SendPacket(kControlFd, header, payload, fd) != 0) Exit(1);
}

[[noreturn]] void Fail(const char* step, int code) {
  ControlHeader header{};
  header.type = wire::kInitFailed;
  header.a = code;
  header.payload_bytes = static_cast<uint32_t>(strlen(step));
  Report(header, step);
  Exit(1);
}

void Require(long result, const char* step) {
  if (result < 0) Fail(step, errno);
}

// ---- Before the first order.

void ReplaceStreams() {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  Require(null, "open /dev/null");
  for (int i = 0; i < 3; i++) {
    if (null != i) Require(dup2(null, i), "dup2");
  }
  if (null <= 2) Require(fcntl(null, F_SETFD, 0), "fcntl");
  // Also closes `null`, which is above the control socket if it is not one of the three.
  Require(syscall(SYS_close_range, kControlFd + 1, ~0U, 0), "close_range");
}

// Children inherit what is set here: every disposition its default, and (undone before their exec)
// every signal blocked. What a process of the cell sends to PID 1 is ignored by the kernel anyway.
void TakeSignals() {
  constexpr unsigned kLastSignal = 64;
  // The kernel's struct: handler, flags, restorer, mask. Raw, as the library refuses its own three.
  constexpr unsigned long kDefault[4] = {};
  for (unsigned number = 1; number <= kLastSignal; number++) {
    syscall(SYS_rt_sigaction, number, kDefault, nullptr, sizeof(uint64_t));
  }
  constexpr uint64_t kAllSignals = ~uint64_t{0};
  Require(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &kAllSignals, nullptr, sizeof kAllSignals),
          "sigprocmask");
}

int OpenSignalFd() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  const int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  Require(fd, "signalfd");
  return fd;
}

// ---- Orders.

int InstallFilter(const wire::SetupOrder& order, const char* instructions) {
  sock_fprog program{};
  program.len = static_cast<unsigned short>(order.filter_instructions);
  program.filter = reinterpret_cast<sock_filter*>(const_cast<char*>(instructions));
  unsigned flags = order.filter_flags | SECCOMP_FILTER_FLAG_NEW_LISTENER;
  long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  if (listener < 0 && errno == EINVAL) {  // before 5.19
    flags &= ~static_cast<unsigned>(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  }
  Require(listener, "seccomp");
  return static_cast<int>(listener);
}

void SetUp(const ControlHeader& header, const char* payload) {
  wire::SetupOrder order{};
  if (is_filtered || header.payload_bytes < sizeof order) Fail("setup order", EPROTO);
  memcpy(&order, payload, sizeof order);
  const uint64_t filter_bytes = uint64_t{order.filter_instructions} * sizeof(sock_filter);
  if (order.filter_instructions == 0 || order.filter_instructions > BPF_MAXINSNS ||
      sizeof order + filter_bytes + order.handover_bytes != header.payload_bytes) {
    Fail("setup order", EPROTO);
  }
  Require(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
  const int listener = InstallFilter(order, payload + sizeof order);
  is_filtered = true;
  ControlHeader answer{};
  answer.type = wire::kListener;
  answer.id = header.id;
  answer.payload_bytes = order.handover_bytes;
  Report(answer, payload + sizeof order + filter_bytes, listener);
  close(listener);  // who holds it could answer for the broker
}

// Gives each descriptor of the packet its place; false when they are not the ones that the flags
// announce.
bool TakeStreams(const Packet& packet, uint32_t flags, SpawnPlan& plan) {
  constexpr uint32_t kGiven[3] = {wire::kSpawnStdinGiven, wire::kSpawnStdoutGiven,
                                  wire::kSpawnStderrGiven};
  constexpr uint32_t kTerminal[3] = {wire::kSpawnStdinTerminal, wire::kSpawnStdoutTerminal,
                                     wire::kSpawnStderrTerminal};
  unsigned next = 1;  // the first is the memory file
  for (int i = 0; i < 3; i++) {
    if ((flags & kGiven[i]) == 0) continue;
    if ((flags & kTerminal[i]) != 0 || next >= packet.fd_count) return false;
    plan.streams[i] = packet.fds[next++];
  }
  return next == packet.fd_count;
}

void ReportSpawnFailure(uint32_t order, pid_t pid, const SpawnFailure& failure) {
  ControlHeader header{};
  header.type = wire::kExecFailed;
  header.id = order;
  header.a = pid;
  header.b = failure.code;
  header.c = failure.step;
  Report(header);
}

void RecordChild(uint32_t order, const Spawned& spawned, bool is_main) {
  children.Add({.pid = spawned.pid,
                .order = order,
                .failure_pipe = spawned.failure_pipe,
                .is_main = is_main});
  ControlHeader header{};
  header.type = wire::kSpawned;
  header.id = order;
  header.a = spawned.pid;
  Report(header);
  if (spawned.terminal < 0) return;
  header.type = wire::kTerminal;
  header.a = 0;
  Report(header, nullptr, spawned.terminal);
  close(spawned.terminal);
}

void SpawnOrdered(const ControlHeader& header, const char* payload, const Packet& packet) {
  // An unfiltered command is what must never be.
  if (!is_filtered) Fail("spawn before setup", EPROTO);
  SpawnPlan plan{};
  if (header.payload_bytes != sizeof plan.order) Fail("spawn order", EPROTO);
  memcpy(&plan.order, payload, sizeof plan.order);
  const uint64_t strings =
      2 + uint64_t{plan.order.argument_count} + uint64_t{plan.order.environment_count};
  if (plan.order.argument_count == 0 || packet.fd_count == 0 ||
      !TakeStreams(packet, plan.order.flags, plan)) {
    Fail("spawn order", EPROTO);
  }
  const int code = MapBlock(packet.fds[0], plan.order.block_bytes, strings, plan.block);
  if (code != 0) Fail("spawn order: strings", code);
  SpawnFailure failure{.step = wire::kStepFork, .code = EAGAIN};
  Spawned spawned;
  if (!children.full()) spawned = Spawn(plan, failure);
  UnmapBlock(plan.block);
  if (failure.code != 0) {
    ReportSpawnFailure(header.id, 0, failure);
  } else {
    RecordChild(header.id, spawned, (plan.order.flags & wire::kSpawnMain) != 0);
  }
}

void SignalOrdered(const ControlHeader& header) {
  if (header.b < 1 || header.b > 64) Fail("signal order", EPROTO);
  // On record means not reaped, so the number still belongs to it; it leads its group.
  if (children.Find(header.a) == nullptr) return;
  // ESRCH: it does not yet, between fork and setsid.
  if (header.c == 1 && kill(-header.a, header.b) == 0) return;
  kill(header.a, header.b);
}

// Not on record: it answers to the broker itself, and its end closes its socket.
void KeepOrdered(const Packet& packet) {
  if (!is_filtered) Fail("keep before setup", EPROTO);
  if (packet.fd_count != 1) Fail("keep order", EPROTO);
  if (fork() == 0) RunKeeper(packet.fds[0]);  // failed: the socket is closed with the packet
}

// Unconnected: init's own connect would be judged by the one who waits for it.
void SocketsOrdered(const ControlHeader& header) {
  const bool known = header.b == AF_INET || header.b == AF_INET6;
  if (!known || header.a < 1 || header.a > wire::kMaxSocketsOrdered) Fail("socket order", EPROTO);
  for (int i = 0; i < header.a; i++) {
    const int made = socket(header.b, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ControlHeader answer{};
    answer.type = wire::kSocket;
    answer.id = header.id;
    answer.a = made < 0 ? errno : 0;
    answer.b = header.b;
    Report(answer, nullptr, made);
    if (made >= 0) close(made);
  }
}

void CarryOut(Packet& packet) {
  ControlHeader header{};
  if (packet.truncated || packet.bytes < sizeof header) Fail("order", EPROTO);
  memcpy(&header, packet_bytes, sizeof header);
  if (header.payload_bytes != packet.bytes - sizeof header) Fail("order", EPROTO);
  const char* payload = packet_bytes + sizeof header;
  const bool takes_fds = header.type == wire::kSpawn || header.type == wire::kKeep;
  if (!takes_fds && packet.fd_count != 0) Fail("order", EPROTO);
  switch (header.type) {
    case wire::kSetup:
      SetUp(header, payload);
      break;
    case wire::kSpawn:
      SpawnOrdered(header, payload, packet);
      break;
    case wire::kSignal:
      SignalOrdered(header);
      break;
    case wire::kKeep:
      KeepOrdered(packet);
      break;
    case wire::kSockets:
      SocketsOrdered(header);
      break;
    default:
      Fail("order", EPROTO);
  }
  CloseFds(packet);
}

// ---- Children.

void ReadFailure(ChildRecord& child) {
  if (child.failure_pipe < 0) return;
  SpawnFailure failure{};
  const ssize_t bytes = read(child.failure_pipe, &failure, sizeof failure);
  if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) return;
  close(child.failure_pipe);
  child.failure_pipe = -1;
  if (bytes == ssize_t{sizeof failure}) ReportSpawnFailure(child.order, child.pid, failure);
}

void ReportChange(ChildRecord& child, int status) {
  ControlHeader header{};
  header.id = child.order;
  header.a = child.pid;
  if (WIFSTOPPED(status) || WIFCONTINUED(status)) {
    header.type = wire::kStopped;
    header.b = WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
    Report(header);
    return;
  }
  ReadFailure(child);  // it is told before the end that it explains
  header.type = wire::kExited;
  header.b = status;
  const bool is_main = child.is_main;
  if (child.failure_pipe >= 0) close(child.failure_pipe);
  children.Remove(child);
  Report(header);
  if (is_main) Exit(0);  // the kernel kills everything else in the pid namespace
}

void Reap(int signal_fd) {
  signalfd_siginfo ignored{};
  while (read(signal_fd, &ignored, sizeof ignored) > 0) {
  }
  int status = 0;
  while (true) {
    // __WALL: CLONE_PARENT can give init children that end with another signal than SIGCHLD.
    const pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED | __WALL);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return;
    ChildRecord* child = children.Find(pid);
    if (child != nullptr) ReportChange(*child, status);
  }
}

unsigned FillPolled(int signal_fd) {
  polled[0] = {.fd = kControlFd, .events = POLLIN, .revents = 0};
  polled[1] = {.fd = signal_fd, .events = POLLIN, .revents = 0};
  unsigned count = 2;
  for (unsigned i = 0; i < children.count(); i++) {
    if (children.at(i).failure_pipe < 0) continue;
    polled[count++] = {.fd = children.at(i).failure_pipe, .events = POLLIN, .revents = 0};
  }
  return count;
}

void ServeControl() {
  Packet packet;
  switch (ReceivePacket(kControlFd, packet_bytes, sizeof packet_bytes, MSG_DONTWAIT, packet)) {
    case Received::kPacket:
      CarryOut(packet);
      break;
    case Received::kNothing:
      break;
    case Received::kEnd:
      Exit(0);
  }
}

}  // namespace

void RunInit() {
  // First: from here on nobody inside could take the control socket, were there anybody yet. The
  // cell's copy of the shim is also not readable, which hides init from its first instruction.
  Require(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl(PR_SET_DUMPABLE)");
  Require(fcntl(kControlFd, F_SETFD, FD_CLOEXEC), "fcntl");
  ReplaceStreams();
  TakeSignals();
  setsid();  // fails when the launcher's child has done it
  Require(chdir("/"), "chdir /");
  const int signal_fd = OpenSignalFd();
  while (true) {
    const unsigned count = FillPolled(signal_fd);
    if (poll(polled, count, -1) < 0 && errno != EINTR) Fail("poll", errno);
    if (polled[1].revents != 0) Reap(signal_fd);
    for (unsigned i = 0; i < children.count(); i++) ReadFailure(children.at(i));
    if (polled[0].revents != 0) ServeControl();
  }
}

}  // namespace cellrun::shim
