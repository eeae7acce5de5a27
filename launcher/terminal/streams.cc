// SPDX-License-Identifier: Apache-2.0
#include "launcher/terminal/streams.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/sys/file.h"

#ifndef PIPEFS_MAGIC
#define PIPEFS_MAGIC 0x50495045
#endif

namespace cellrun::terminal {
namespace {

const dev_t kNullDevice = makedev(1, 3);

bool IsNull(int number) {
  struct stat facts {};
  return fstat(number, &facts) == 0 && S_ISCHR(facts.st_mode) && facts.st_rdev == kNullDevice;
}

// Not a named pipe: that is a file of the host, whose mode the cell could change through the
// descriptor.
bool IsAnonymousPipe(int number) {
  struct stat facts {};
  struct statfs system {};
  return fstat(number, &facts) == 0 && S_ISFIFO(facts.st_mode) && fstatfs(number, &system) == 0 &&
         system.f_type == PIPEFS_MAGIC;
}

// One open file description, as after 2>&1. Without kcmp in the kernel, or where it is forbidden:
// one file and position.
bool AreOneFile(int a, int b) {
  const long order = syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, a, b);
  if (order >= 0) return order == 0;
  struct stat first {};
  struct stat second {};
  return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino && lseek(a, 0, SEEK_CUR) == lseek(b, 0, SEEK_CUR);
}

Result<void> ConnectStream(int number, Streams& streams) {
  const auto index = static_cast<std::size_t>(number);
  streams.kinds.at(index) = wire::Stream::kGiven;
  if (IsAnonymousPipe(number)) {
    streams.given.at(index) = UniqueFd(fcntl(number, F_DUPFD_CLOEXEC, 3));
    if (!streams.given.at(index).valid()) return ErrnoError("fcntl(F_DUPFD_CLOEXEC)");
    return {};
  }
  sys::Pipe pipe = TRY(sys::Pipe2(O_CLOEXEC));
  const bool is_input = number == STDIN_FILENO;
  streams.given.at(index) = is_input ? std::move(pipe.read) : std::move(pipe.write);
  streams.ours.at(index) = is_input ? std::move(pipe.write) : std::move(pipe.read);
  return {};
}

bool WantsPty(PtyChoice choice) {
  if (choice != PtyChoice::kAuto) return choice == PtyChoice::kYes;
  if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1) return false;
  // A background job may not set the terminal's mode: the kernel would stop it (SIGTTOU).
  const pid_t foreground = tcgetpgrp(STDIN_FILENO);
  return foreground < 0 || foreground == getpgrp();
}

}  // namespace

Result<std::array<bool, 3>> FillStandardStreams() {
  std::array<bool, 3> closed{};
  for (int number = 0; number < 3; ++number) {
    if (fcntl(number, F_GETFD) >= 0) continue;
    closed.at(static_cast<std::size_t>(number)) = true;
    // The lowest free number is this one. Not CLOEXEC matters to nobody: children arrange their
    // own.
    if (open("/dev/null", O_RDWR | O_CLOEXEC) != number) return Error(EBADF, "open");
  }
  return closed;
}

Result<Streams> ConnectStreams(PtyChoice choice, const std::array<bool, 3>& were_closed) {
  Streams streams;
  const bool pty = WantsPty(choice);
  if (pty) streams.kinds[0] = streams.kinds[1] = wire::Stream::kTerminal;
  for (int number = pty ? 2 : 0; number < 3; ++number) {
    const auto index = static_cast<std::size_t>(number);
    if (were_closed.at(index) || IsNull(number)) continue;
    if (number == STDERR_FILENO && !were_closed[1]) {
      const bool joins =
          pty ? isatty(STDERR_FILENO) == 1 || AreOneFile(STDOUT_FILENO, STDERR_FILENO)
              : streams.ours[1].valid() && AreOneFile(STDOUT_FILENO, STDERR_FILENO);
      if (joins && pty) {
        streams.kinds[2] = wire::Stream::kTerminal;
        continue;
      }
      if (joins) {
        streams.kinds[2] = wire::Stream::kGiven;
        streams.given[2] = TRY(sys::Duplicate(streams.given[1]));
        streams.stderr_joins_stdout = true;
        continue;
      }
    }
    TRY(ConnectStream(number, streams));
  }
  return streams;
}

Result<void> RelayOutputs(Streams& streams) {
  const bool one = streams.given[1].valid() && !streams.ours[1].valid() &&
                   streams.given[2].valid() && AreOneFile(STDOUT_FILENO, STDERR_FILENO);
  for (const std::size_t index : {std::size_t{1}, std::size_t{2}}) {
    const bool joined = index == STDERR_FILENO && streams.stderr_joins_stdout;
    if (!streams.given.at(index).valid() || streams.ours.at(index).valid() || joined) continue;
    sys::Pipe pipe = TRY(sys::Pipe2(O_CLOEXEC));
    streams.given.at(index) = std::move(pipe.write);
    streams.ours.at(index) = std::move(pipe.read);
    if (!one) continue;
    streams.given[2] = TRY(sys::Duplicate(streams.given[1]));
    streams.stderr_joins_stdout = true;
  }
  return {};
}

}  // namespace cellrun::terminal
