// SPDX-License-Identifier: Apache-2.0
#include "launcher/client/launch_broker.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <string_view>
#include <vector>

#include "lib/base/sanitized.h"
#include "lib/sys/file.h"
#include "lib/sys/process.h"
#include "lib/sys/socket.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::launcher {
namespace {

constexpr int kReadyFd = 3;
constexpr std::size_t kMaxReadyBytes = 4096;
constexpr std::string_view kPassedPrefix = "XDG_";
constexpr std::array<std::string_view, 8> kPassed = {"PATH=",
                                                     "HOME=",
                                                     "USER=",
                                                     "LOGNAME=",
                                                     "LANG=",
                                                     "CELLRUN_CONFIG_DIR=",
                                                     "CELLRUN_STATE_DIR=",
                                                     "CELLRUN_RUNTIME_DIR="};

// A thread that ended has touched some of its stack, and glibc keeps 40 MB of such stacks: with one
// for each cell that is a tenth of what a cell costs. (glibc 2.34 and later.)
constexpr char kTunables[] = "GLIBC_TUNABLES=glibc.pthread.stack_cache_size=262144";

// The broker outlives the command that started it: nothing else of that command's environment may
// stay in it.
std::vector<char*> CleanEnvironment() {
  std::vector<char*> environment = SanitizerEnvironment();
  environment.push_back(const_cast<char*>(&kTunables[0]));  // execve(2) changes nothing
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    bool passes = text.starts_with(kPassedPrefix);
    for (const std::string_view name : kPassed) passes |= text.starts_with(name);
    if (passes) environment.push_back(*entry);
  }
  environment.push_back(nullptr);
  return environment;
}

[[noreturn]] void BecomeBroker(const std::string& program, const UniqueFd& ready,
                               const std::vector<char*>& environment) {
  constexpr int kSafe = 16;
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  // First out of the way: where the launcher was started with closed streams, it may itself be one
  // of 0 to 3.
  const int report = fcntl(ready.get(), F_DUPFD_CLOEXEC, kSafe);
  const int null_copy = fcntl(null, F_DUPFD_CLOEXEC, kSafe);
  for (int fd = 0; fd < kReadyFd; ++fd) (void)dup2(null_copy, fd);
  (void)dup2(report, kReadyFd);
  (void)sys::CloseRange(kReadyFd + 1, ~0U, 0);
  (void)!chdir("/");  // it exists
  sigset_t none;
  sigemptyset(&none);
  (void)sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number = 1; number < NSIG; ++number) (void)signal(number, SIG_DFL);
  std::array<std::string, 3> words = {"cellrun-broker", "--ready-fd", std::to_string(kReadyFd)};
  const std::array<char*, 4> argv = {words[0].data(), words[1].data(), words[2].data(), nullptr};
  execve(program.c_str(), argv.data(), environment.data());
  const std::string line = "error cannot execute " + program + ": " + ErrnoText(errno) + "\n";
  (void)!write(kReadyFd, line.data(), line.size());  // the launcher may have given up
  _exit(1);
}

// Until the broker's one line is there, or it ended, or too much time went by.
Result<std::string> ReadLine(const UniqueFd& fd) {
  const auto deadline = sys::MonotonicNow() + kBrokerStartLimit;
  std::string line;
  while (line.find('\n') == std::string::npos && line.size() < kMaxReadyBytes) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - sys::MonotonicNow());
    if (left.count() <= 0) return Error(ETIMEDOUT, "broker", "it did not say that it serves");
    pollfd wait{.fd = fd.get(), .events = POLLIN, .revents = 0};
    if (poll(&wait, 1, static_cast<int>(left.count())) <= 0) continue;
    std::array<char, 512> bytes{};
    const std::size_t got = TRY(sys::Read(fd, bytes));
    if (got == 0) break;
    line.append(bytes.data(), got);
  }
  return line.substr(0, line.find('\n'));
}

void Pause() {
  constexpr timespec kPause{.tv_sec = 0, .tv_nsec = 20'000'000};
  (void)nanosleep(&kPause, nullptr);
}

}  // namespace

Result<BrokerStart> StartBroker() {
  const std::string program = TRY(wire::LibexecPath("cellrun-broker"));
  const std::vector<char*> environment = CleanEnvironment();
  sys::Pipe ready = TRY(sys::Pipe2(O_CLOEXEC));
  const pid_t child = fork();
  if (child < 0) return ErrnoError("fork");
  if (child == 0) {
    // Forked twice: the broker is nobody's child, in a session without a terminal of which it is
    // not the leader.
    if (setsid() < 0) _exit(1);
    const pid_t broker = fork();
    if (broker == 0) BecomeBroker(program, ready.write, environment);
    _exit(broker < 0 ? 1 : 0);
  }
  ready.write.Reset();
  Result<std::optional<sys::WaitStatus>> reaped = sys::WaitPid(child, 0);
  while (!reaped.ok() && reaped.error().code() == EINTR) reaped = sys::WaitPid(child, 0);
  const std::string line = TRY(ReadLine(ready.read));
  if (line == "ready") return BrokerStart::kServing;
  if (line == "busy") return BrokerStart::kBusy;
  constexpr std::string_view kError = "error ";
  if (line.starts_with(kError)) return Error(EIO, "broker", line.substr(kError.size()));
  return Error(EIO, "broker", "it ended without a word; see broker.log in the state directory");
}

Result<UniqueFd> ConnectToBroker(const std::string& socket_path) {
  UniqueFd socket = TRY(sys::UnixSocket(SOCK_SEQPACKET));
  TRY(sys::ConnectUnix(socket, socket_path));
  const ucred peer = TRY(sys::PeerCredentials(socket));
  if (peer.uid != geteuid()) {
    return Error(EPERM, "broker", socket_path + " is served by uid " + std::to_string(peer.uid));
  }
  return socket;
}

Result<UniqueFd> ConnectOrStart(const std::string& runtime, const std::string& socket_path) {
  const auto nobody_serves = [](const Result<UniqueFd>& tried) {
    return !tried.ok() && (tried.error().code() == ENOENT || tried.error().code() == ECONNREFUSED);
  };
  Result<UniqueFd> socket = ConnectToBroker(socket_path);
  if (!nobody_serves(socket)) return socket;
  // One launcher starts it, the others wait here and then find it serving.
  const UniqueFd lock = TRY(
      sys::OpenAt(AT_FDCWD, (runtime + "/start.lock").c_str(), O_RDWR | O_CREAT | O_NOFOLLOW, 0600)
          .With(runtime));
  while (flock(lock.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return ErrnoError("flock");
  }
  const auto deadline = sys::MonotonicNow() + kBrokerStartLimit;
  for (;;) {
    socket = ConnectToBroker(socket_path);
    if (!nobody_serves(socket)) return socket;
    if (sys::MonotonicNow() > deadline)
      return Error(ETIMEDOUT, "broker", "one holds the lock but does not serve");
    // Busy: one that is leaving still holds the lock; there is no event for its end, so look again
    // soon.
    if (TRY(StartBroker()) == BrokerStart::kBusy) Pause();
  }
}

}  // namespace cellrun::launcher
