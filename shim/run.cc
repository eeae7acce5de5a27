// SPDX-License-Identifier: Apache-2.0
#include "shim/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "lib/wire/run.h"
#include "shim/exit.h"
#include "shim/protocol.h"

namespace cellrun::shim {
namespace {

using wire::ControlHeader;

constexpr int kDenied = 126;
constexpr size_t kRelayBytes = 16'384;
constexpr size_t kScreenBytes = 1024;  // a write of more could block a terminal that takes a little

struct Relay {
  char bytes[kRelayBytes];
  size_t start, end;
};

struct Caller {
  int channel;
  int signal_fd;
  int terminal;  // the caller's, or -1
  int screen;    // where output goes
  int master;    // of the command's, or -1
  bool raw;
  bool input_ended;
  termios before;  // of the caller's terminal
  Relay input, output;
  wire::RunSurroundings surroundings;
  uint64_t old_mask;
};
Caller caller;
alignas(8) char message_bytes[sizeof(ControlHeader) + wire::kMaxRunText];

template <size_t kBytes>
[[noreturn]] void Refuse(const char (&text)[kBytes]) {
  WriteAll(STDERR_FILENO, text, kBytes - 1);
  Exit(kDenied);
}

void SetMask(uint64_t mask) {
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, nullptr, sizeof mask);
}

void SetDefault(int signal) {
  constexpr unsigned long kDefault[4] = {};
  syscall(SYS_rt_sigaction, signal, kDefault, nullptr, sizeof(uint64_t));
}

uint64_t Bit(int signal) {
  return uint64_t{1} << (signal - 1);
}

// Takes back what is pending.
void Forget(int signal) {
  const uint64_t set = Bit(signal);
  const timespec now{};
  syscall(SYS_rt_sigtimedwait, &set, nullptr, &now, sizeof set);
}

void Tell(uint32_t type, int32_t a, int32_t b = 0) {
  ControlHeader header{};
  header.type = type;
  header.a = a;
  header.b = b;
  (void)SendPacket(caller.channel, header, nullptr,
                   -1);  // its end of file is seen by the next read
}

// ---- What the command gets.

// A terminal that is not the controlling one is everybody's.
bool IsForeground() {
  pid_t group = 0;
  if (caller.terminal < 0) return false;
  return ioctl(caller.terminal, TIOCGPGRP, &group) != 0 || group == getpgrp();
}

// Everything that an exec would have kept is open below kMaxRunNumber, or further up: that many
// descriptors nobody passes on purpose.
unsigned CollectDescriptors(int* fds, bool relays_terminal) {
  wire::RunSurroundings& with = caller.surroundings;
  static pollfd polled[wire::kMaxRunNumber];
  rlimit limit{};
  unsigned last = wire::kMaxRunNumber;  // poll(2) takes no more than may be open
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < last)
    last = static_cast<unsigned>(limit.rlim_cur);
  for (unsigned i = 0; i < last; i++) polled[i].fd = static_cast<int>(i);
  if (poll(polled, last, 0) < 0)
    Refuse("cellrun: the streams of the command cannot be looked at\n");
  unsigned count = 0;
  for (unsigned number = 0; number < last; number++) {
    const int fd = static_cast<int>(number);
    if ((polled[number].revents & POLLNVAL) != 0 || (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0)
      continue;
    termios settings{};
    if (relays_terminal && ioctl(fd, TCGETS, &settings) == 0) {
      with.terminals[number / 64] |= uint64_t{1} << (number % 64);
      // Output goes to the first of 1, 2, others; what is typed comes from the first of 0, 1, 2.
      if (caller.terminal < 0) caller.terminal = fd;
      if (caller.screen < 0 || (fd == STDOUT_FILENO && caller.screen == STDIN_FILENO) ||
          (fd == STDERR_FILENO && caller.screen == STDIN_FILENO))
        caller.screen = fd;
      continue;
    }
    if (count == wire::kMaxRunDescriptors)
      Refuse("cellrun: more than 14 descriptors cannot be handed over\n");
    with.numbers[count] = static_cast<uint8_t>(number);
    fds[count++] = fd;
  }
  with.count = count;
  return count;
}

void CollectSignals() {
  for (int number = 1; number <= 64; number++) {
    unsigned long action[4] = {};
    if (syscall(SYS_rt_sigaction, number, nullptr, action, sizeof(uint64_t)) != 0) continue;
    if (action[0] == 1) caller.surroundings.ignored |= Bit(number);
  }
  caller.surroundings.blocked = caller.old_mask;
}

void CollectRest(const rlimit& files) {
  wire::RunSurroundings& with = caller.surroundings;
  for (uint32_t i = 0; i < wire::kRunLimits; i++) {
    rlimit limit{};
    if (getrlimit(static_cast<int>(i), &limit) != 0) limit = {RLIM_INFINITY, RLIM_INFINITY};
    if (i == RLIMIT_NOFILE && files.rlim_max != 0) limit = files;
    with.limits[i] = {limit.rlim_cur, limit.rlim_max};
  }
  with.umask = umask(0);
  umask(with.umask);
  // The kernel's answer is 20 minus the value.
  const long priority = syscall(SYS_getpriority, PRIO_PROCESS, 0);
  with.nice = priority < 0 ? 0 : static_cast<int32_t>(20 - priority);
  with.foreground = IsForeground() ? 1 : 0;
  if (caller.terminal < 0) return;
  winsize size{};
  ioctl(caller.terminal, TIOCGWINSZ, &size);
  with.rows = size.ws_row;
  with.columns = size.ws_col;
  ioctl(caller.terminal, TCGETS, &caller.before);
  static_assert(sizeof caller.before <= sizeof with.terminal_settings);
  memcpy(with.terminal_settings, &caller.before, sizeof caller.before);
}

void Offer(const rlimit& files, bool relays_terminal) {
  int fds[1 + wire::kMaxRunDescriptors];
  const unsigned count = CollectDescriptors(fds + 1, relays_terminal);
  CollectSignals();
  CollectRest(files);
  // Not ".": that may be a directory that cannot be searched.
  fds[0] = open("/proc/self/cwd", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fds[0] < 0) Refuse("cellrun: the working directory cannot be handed over\n");
  ControlHeader header{};
  header.type = wire::kRunOffer;
  header.payload_bytes = sizeof caller.surroundings;
  const int code = SendPacket(caller.channel, header, &caller.surroundings, fds, 1 + count);
  // EPIPE: it has been refused already, and why lies in our end.
  if (code != 0 && code != EPIPE)
    Refuse("cellrun: the streams of the command cannot be handed over\n");
  close(fds[0]);
}

// ---- The terminal.

void EnterRaw() {
  if (caller.raw || caller.master < 0 || !IsForeground()) return;
  termios raw{};
  if (ioctl(caller.terminal, TCGETS, &raw) != 0) return;
  caller.before = raw;
  // A command that comes to the foreground finds the terminal as it is by then: a job that began in
  // the background had been given the settings with which its shell reads a line.
  ioctl(caller.master, TCSETS, &raw);
  cfmakeraw(&raw);
  caller.raw = ioctl(caller.terminal, TCSETSW, &raw) == 0;
}

void LeaveRaw() {
  if (!caller.raw) return;
  caller.raw = false;
  ioctl(caller.terminal, TCSETSW, &caller.before);
}

// What the command has changed for good (stty) is the caller's terminal's from now on.
void KeepSettings() {
  termios inner{};
  if (caller.raw && ioctl(caller.master, TCGETS, &inner) == 0) caller.before = inner;
}

void CopySize() {
  winsize size{};
  if (caller.master >= 0 && ioctl(caller.terminal, TIOCGWINSZ, &size) == 0)
    ioctl(caller.master, TIOCSWINSZ, &size);
}

void TakeTerminal(const Packet& packet) {
  if (packet.fd_count != 1 || caller.terminal < 0 || caller.master >= 0)
    Refuse("cellrun: the broker's answer is not understood\n");
  caller.master = packet.fds[0];
  fcntl(caller.master, F_SETFL, O_RDWR | O_NONBLOCK);
  EnterRaw();
}

// Natively the terminal would have signalled the caller's whole process group, such as the script
// around it. This process gets it too and passes over it: the command has it from its own terminal.
void SignalNeighbours(char typed) {
  termios inner{};
  if (ioctl(caller.master, TCGETS, &inner) != 0 || (inner.c_lflag & ISIG) == 0) return;
  int signal = 0;
  if (typed == static_cast<char>(inner.c_cc[VINTR])) signal = SIGINT;
  if (typed == static_cast<char>(inner.c_cc[VQUIT])) signal = SIGQUIT;
  if (signal == 0) return;
  kill(0, signal);
  Forget(signal);
}

void ReadInput() {
  Relay& relay = caller.input;
  const ssize_t bytes = read(caller.terminal, relay.bytes, sizeof relay.bytes);
  if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (bytes <= 0) {
    caller.input_ended = true;  // hung up
    return;
  }
  relay.start = 0;
  relay.end = static_cast<size_t>(bytes);
  for (ssize_t i = 0; i < bytes; i++) SignalNeighbours(relay.bytes[i]);
}

void WriteInput() {
  Relay& relay = caller.input;
  const ssize_t bytes = write(caller.master, relay.bytes + relay.start, relay.end - relay.start);
  if (bytes > 0) {
    relay.start += static_cast<size_t>(bytes);
  } else if (errno != EAGAIN && errno != EINTR) {
    relay.start = relay.end;
  }
}

// While the caller's terminal is not raw (a job in the background) it makes CR NL of NL, as the
// command's has already.
void UndoTranslation(Relay& relay) {
  termios outer{};
  termios inner{};
  const bool twice = !caller.raw && ioctl(caller.screen, TCGETS, &outer) == 0 &&
                     ioctl(caller.master, TCGETS, &inner) == 0 &&
                     (outer.c_oflag & (OPOST | ONLCR)) == (OPOST | ONLCR) &&
                     (inner.c_oflag & (OPOST | ONLCR)) == (OPOST | ONLCR);
  if (!twice) return;
  size_t kept = 0;
  for (size_t i = 0; i < relay.end; i++) {
    const bool before_newline = i + 1 < relay.end && relay.bytes[i + 1] == '\n';
    if (relay.bytes[i] == '\r' && before_newline) continue;
    relay.bytes[kept++] = relay.bytes[i];
  }
  relay.end = kept;
}

// False: nothing more is there now, or ever.
bool ReadOutput() {
  Relay& relay = caller.output;
  relay.start = 0;
  relay.end = 0;
  const ssize_t bytes = read(caller.master, relay.bytes, sizeof relay.bytes);
  if (bytes <= 0) return false;  // EIO: nobody holds its other side any more
  relay.end = static_cast<size_t>(bytes);
  UndoTranslation(relay);
  return true;
}

void WriteOutput(size_t most) {
  Relay& relay = caller.output;
  const size_t left = relay.end - relay.start;
  const ssize_t bytes = write(caller.screen, relay.bytes + relay.start, left < most ? left : most);
  if (bytes > 0) {
    relay.start += static_cast<size_t>(bytes);
  } else if (errno != EAGAIN && errno != EINTR) {
    relay.start = relay.end;  // hung up
  }
}

void Drain() {
  if (caller.master < 0) return;
  do {
    while (caller.output.start < caller.output.end) {
      pollfd wait{.fd = caller.screen, .events = POLLOUT, .revents = 0};
      poll(&wait, 1, -1);
      WriteOutput(kRelayBytes);
    }
  } while (ReadOutput());
}

// ---- Stops and ends.

void ResumeCommand() {
  EnterRaw();
  CopySize();
  Tell(wire::kRunForeground, IsForeground() ? 1 : 0);
  Tell(wire::kRunSignal, SIGCONT, 1);
}

// The caller's shell sees its job stop as the command has.
void Stop(int signal) {
  Drain();
  const bool typed = caller.raw && signal == SIGTSTP;
  LeaveRaw();
  SetDefault(signal);
  kill(typed ? 0 : getpid(), signal);
  SetMask(~Bit(signal));  // stops here, until SIGCONT; not at all in an orphaned group
  SetMask(~uint64_t{0});
  Forget(SIGCONT);
  ResumeCommand();
}

[[noreturn]] void EndAs(int status) {
  Drain();
  if (WIFEXITED(status)) KeepSettings();
  LeaveRaw();
  if (WIFEXITED(status)) Exit(WEXITSTATUS(status));
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);  // the core is the command's own
  const int signal = WTERMSIG(status);
  SetDefault(signal);
  kill(getpid(), signal);
  SetMask(~Bit(signal));
  Exit(128 + signal);
}

[[noreturn]] void EndWith(int status, size_t text_bytes) {
  Drain();
  LeaveRaw();
  WriteAll(STDERR_FILENO, message_bytes + sizeof(ControlHeader), text_bytes);
  Exit(status);
}

void ServeChannel() {
  Packet packet;
  switch (
      ReceivePacket(caller.channel, message_bytes, sizeof message_bytes, MSG_DONTWAIT, packet)) {
    case Received::kNothing:
      return;
    case Received::kEnd:
      LeaveRaw();
      Refuse("cellrun: the broker is gone, and the command with it\n");
    case Received::kPacket:
      break;
  }
  ControlHeader header{};
  const bool whole = !packet.truncated && packet.bytes >= sizeof header;
  if (whole) memcpy(&header, message_bytes, sizeof header);
  if (!whole || header.payload_bytes != packet.bytes - sizeof header) {
    LeaveRaw();
    Refuse("cellrun: the broker's answer is not understood\n");
  }
  switch (header.type) {
    case wire::kRunTerminal:
      return TakeTerminal(packet);
    case wire::kRunStopped:
      return Stop(header.a);
    case wire::kRunEnded:
      EndAs(header.a);
    case wire::kRunFailed:
      EndWith(header.a, header.payload_bytes);
    default:
      return;
  }
}

// ---- Signals.

void PassOn(const signalfd_siginfo& info) {
  const int signal = static_cast<int>(info.ssi_signo);
  switch (signal) {
    case SIGCHLD:
    case SIGPIPE:
    case SIGTTIN:
    case SIGTTOU:
      return;
    case SIGWINCH:
      if (caller.master >= 0) return CopySize();
      break;  // somebody's kill(2)
    case SIGCONT:
      return ResumeCommand();
    default:
      break;
  }
  // A terminal, and job control, speak to a whole group; kill(2) to one process.
  const bool to_group = info.ssi_code == SI_KERNEL || signal == SIGTSTP;
  Tell(wire::kRunSignal, signal, to_group ? 1 : 0);
}

void ServeSignals() {
  signalfd_siginfo info{};
  while (read(caller.signal_fd, &info, sizeof info) == ssize_t{sizeof info}) PassOn(info);
}

void OpenSignals() {
  uint64_t all = ~uint64_t{0};
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &caller.old_mask, sizeof all);
  // What the caller ignores is not even seen; what it blocks is blocked by the command too.
  caller.signal_fd =
      static_cast<int>(syscall(SYS_signalfd4, -1, &all, sizeof all, SFD_CLOEXEC | SFD_NONBLOCK));
  if (caller.signal_fd < 0) Refuse("cellrun: signals cannot be relayed\n");
}

// ---- One round.

constexpr int kChannel = 0, kSignals = 1, kTyped = 2, kCommand = 3, kScreen = 4;

void FillPolled(pollfd* polled) {
  const bool input_waits = caller.input.start < caller.input.end;
  const bool output_waits = caller.output.start < caller.output.end;
  polled[kChannel] = {.fd = caller.channel, .events = POLLIN, .revents = 0};
  polled[kSignals] = {.fd = caller.signal_fd, .events = POLLIN, .revents = 0};
  const bool reads = caller.raw && !input_waits && !caller.input_ended;
  polled[kTyped] = {.fd = reads ? caller.terminal : -1, .events = POLLIN, .revents = 0};
  const int events = (input_waits ? POLLOUT : 0) | (output_waits ? 0 : POLLIN);
  // Without an event that is wanted a hang-up would wake every poll.
  polled[kCommand] = {
      .fd = events != 0 ? caller.master : -1, .events = static_cast<short>(events), .revents = 0};
  polled[kScreen] = {.fd = output_waits ? caller.screen : -1, .events = POLLOUT, .revents = 0};
}

// Nothing tells a process that its group has come to the foreground without having been stopped.
void LookForForeground() {
  if (caller.master < 0 || caller.raw || !IsForeground()) return;
  EnterRaw();
  Tell(wire::kRunForeground, 1);
}

void Turn() {
  constexpr int kBackgroundMs = 200;
  pollfd polled[5];
  FillPolled(polled);
  const bool background = caller.master >= 0 && !caller.raw;
  const int ready = poll(polled, 5, background ? kBackgroundMs : -1);
  if (ready < 0) return;
  if (background) LookForForeground();
  if (polled[kSignals].revents != 0) ServeSignals();
  if (polled[kTyped].revents != 0) ReadInput();
  if ((polled[kCommand].revents & POLLOUT) != 0) WriteInput();
  if ((polled[kCommand].revents & POLLIN) != 0) {
    ReadOutput();
  } else if ((polled[kCommand].revents & (POLLHUP | POLLERR)) != 0) {
    // Every holder of the other side is gone; only the end of the command is missing.
    pollfd wait{.fd = caller.channel, .events = POLLIN, .revents = 0};
    poll(&wait, 1, 20);
  }
  if (polled[kScreen].revents != 0) WriteOutput(kScreenBytes);
  if (polled[kChannel].revents != 0) ServeChannel();
}

}  // namespace

void RunElsewhere(int channel, const rlimit& files, unsigned flags) {
  caller = Caller();
  caller.channel = channel;
  caller.terminal = caller.screen = caller.master = -1;
  OpenSignals();
  Offer(files, (flags & wire::kShimNoTerminal) == 0);
  while (true) Turn();
}

}  // namespace cellrun::shim
