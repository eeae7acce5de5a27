// SPDX-License-Identifier: Apache-2.0
#include "launcher/doctor/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "lib/sys/file.h"
#include "lib/sys/mount.h"
#include "lib/sys/process.h"

namespace cellrun::doctor {
namespace {

constexpr std::size_t kMaxText = 4000;

[[noreturn]] void AnswerAndExit(const UniqueFd& pipe, const std::function<Reply()>& body) {
  const Reply reply = body();
  std::string bytes(sizeof(reply.code), '\0');
  std::memcpy(bytes.data(), &reply.code, sizeof(reply.code));
  bytes += reply.text.substr(0, kMaxText);
  const bool written = sys::WriteAll(pipe, bytes).ok();
  _exit(written ? 0 : 1);
}

Result<bool> Ended(const UniqueFd& pidfd, std::chrono::milliseconds time) {
  pollfd wait{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  const auto deadline = sys::MonotonicNow() + time;
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - sys::MonotonicNow());
    const int ready = poll(&wait, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) return ErrnoError("poll");
  }
}

std::string StatusText(int status) {
  if (WIFSIGNALED(status)) return "signal " + std::to_string(WTERMSIG(status));
  return "status " + std::to_string(WEXITSTATUS(status));
}

Result<Reply> ReadReply(sys::ChildProcess child, const UniqueFd& pipe,
                        std::chrono::milliseconds time) {
  if (!TRY(Ended(child.pidfd(), time))) return Error(ETIMEDOUT, "waiting for a probe");
  const int status = TRY(child.Wait());
  // What it wrote fits into a pipe, so it is all there now; a grandchild may still hold the other
  // end, so it must not be read to its end.
  std::string bytes(sizeof(int) + kMaxText, '\0');
  TRY(sys::SetNonBlocking(pipe, true));
  auto size = sys::Read(pipe, bytes);
  if (!size.ok() || *size < sizeof(int)) return Error(ECHILD, "probe", StatusText(status));
  Reply reply;
  std::memcpy(&reply.code, bytes.data(), sizeof(reply.code));
  reply.text = bytes.substr(sizeof(int), *size - sizeof(int));
  return reply;
}

// In a new user namespace: the caller's ids onto themselves, which needs nobody's help.
Result<void> MapOwnIds(uid_t uid, gid_t gid) {
  const std::string u = std::to_string(uid);
  const std::string g = std::to_string(gid);
  TRY(sys::WriteExistingFile("/proc/self/setgroups", "deny"));
  TRY(sys::WriteExistingFile("/proc/self/uid_map", u + " " + u + " 1"));
  return sys::WriteExistingFile("/proc/self/gid_map", g + " " + g + " 1");
}

}  // namespace

Reply Failed(const Error& error) {
  return {.code = error.code(), .text = error.ToString()};
}

Result<Reply> InChild(const std::function<Reply()>& body, std::chrono::milliseconds time) {
  auto [read, write] = TRY(sys::Pipe2(O_CLOEXEC));
  const pid_t pid = fork();
  if (pid < 0) return ErrnoError("fork");
  if (pid == 0) {
    read.Reset();
    (void)sys::SetParentDeathSignal(SIGKILL);  // only tidier
    AnswerAndExit(write, body);
  }
  write.Reset();
  auto pidfd = sys::PidfdOpen(pid);
  if (!pidfd.ok()) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return std::move(pidfd).error();
  }
  return ReadReply(sys::ChildProcess(pid, std::move(pidfd).value()), read, time);
}

Result<Reply> InNamespaces(unsigned long long flags, const std::function<Reply()>& body) {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  return InChild([&]() -> Reply {
    auto [read, write] = sys::Pipe2(O_CLOEXEC).value();
    clone_args arguments{};
    arguments.flags = flags;
    arguments.exit_signal = SIGCHLD;
    auto pid = sys::Clone3(arguments);
    if (!pid.ok()) return Failed(pid.error());
    if (*pid == 0) {
      (void)sys::SetParentDeathSignal(SIGKILL);
      AnswerAndExit(write, [&]() -> Reply {
        if (auto mapped = MapOwnIds(uid, gid); !mapped.ok()) return Failed(mapped.error());
        if ((flags & CLONE_NEWNS) != 0) {
          if (auto made = sys::MakeMountsPrivate(); !made.ok()) return Failed(made.error());
        }
        return body();
      });
    }
    write.Reset();
    int status = 0;
    while (waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
    }
    std::string bytes(sizeof(int) + kMaxText, '\0');
    auto size = sys::Read(read, bytes);
    if (!size.ok() || *size < sizeof(int)) return {.code = ECHILD, .text = StatusText(status)};
    Reply reply;
    std::memcpy(&reply.code, bytes.data(), sizeof(reply.code));
    reply.text = bytes.substr(sizeof(int), *size - sizeof(int));
    return reply;
  });
}

}  // namespace cellrun::doctor
