// SPDX-License-Identifier: Apache-2.0
#include "tests/support/terminal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "lib/base/text.h"
#include "tests/support/time_factor.h"

namespace cellrun::test {
namespace {
using Clock = std::chrono::steady_clock;

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (auto& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}
}  // namespace

Terminal::Terminal(Command command, std::uint16_t rows, std::uint16_t columns)
    : started_(Clock::now()), deadline_(started_ + command.time_limit * TimeFactor()) {
  int master = -1;
  int slave = -1;
  const winsize size = {rows, columns, 0, 0};
  EXPECT_EQ(openpty(&master, &slave, nullptr, nullptr, &size), 0) << errno;
  master_ = UniqueFd(master);
  slave_ = UniqueFd(slave);
  std::vector<std::string> environment;
  for (const auto& [name, value] : command.environment) environment.push_back(name + "=" + value);
  const auto argv = Pointers(command.argv);
  const auto envp = Pointers(environment);
  pid_ = fork();
  if (pid_ == 0) {
    setsid();
    ioctl(slave, TIOCSCTTY, 0);
    for (int fd = 0; fd < 3; ++fd) dup2(slave, fd);
    if (command.stdout_fd >= 0) dup2(command.stdout_fd, 1);
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    signal(SIGPIPE, SIG_DFL);
    if (!command.directory.empty() && chdir(command.directory.c_str()) != 0) _exit(125);
    if (command.in_child) command.in_child();
    execvpe(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  EXPECT_GT(pid_, 0) << errno;
  fcntl(master_.get(), F_SETFD, FD_CLOEXEC);
  fcntl(slave_.get(), F_SETFD, FD_CLOEXEC);
  fcntl(master_.get(), F_SETFL, O_NONBLOCK);
}

Terminal::~Terminal() {
  master_.Reset();
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void Terminal::Send(std::string_view keys) {
  while (!keys.empty()) {
    const ssize_t count = write(master_.get(), keys.data(), keys.size());
    if (count > 0) {
      keys.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno != EINTR && (errno != EAGAIN || !Pump())) {
      ADD_FAILURE() << "the terminal takes no keys: " << errno;
      return;
    }
  }
}

// False when the command has ended and nothing is left to read, or the limit passed.
bool Terminal::Pump() {
  const auto now = Clock::now();
  if (now >= deadline_) {
    timed_out_ = true;
    return false;
  }
  // Our own copy of the slave keeps the master from seeing a hang-up: look at the process as well.
  pollfd polled = {master_.get(), POLLIN, 0};
  const int ready = poll(&polled, 1, 20);
  if (ready > 0) {
    std::array<char, 65536> buffer;
    const ssize_t count = read(master_.get(), buffer.data(), buffer.size());
    if (count > 0) screen_.append(buffer.data(), static_cast<std::size_t>(count));
    return count > 0 || errno == EAGAIN || errno == EINTR;
  }
  siginfo_t info{};
  const bool ended =
      waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
      info.si_pid == pid_;
  return !ended;
}

bool Terminal::Expect(std::string_view text) {
  while (true) {
    const auto at = screen_.find(text, seen_);
    if (at != std::string::npos) {
      seen_ = at + text.size();
      return true;
    }
    if (!Pump()) {
      if (screen_.find(text, seen_) != std::string::npos) continue;
      ADD_FAILURE() << "not shown" << (timed_out_ ? " in time: " : ": ") << text::Escape(text)
                    << "\nafter: " << text::EscapeShort(screen_.substr(seen_), 4000);
      return false;
    }
  }
}

bool Terminal::WaitUntil(const std::function<bool(const std::string& shown)>& condition) {
  while (!condition(screen_)) {
    if (Pump() || condition(screen_)) continue;
    ADD_FAILURE() << (timed_out_ ? "not in time" : "not before it ended") << ", at the end of: "
                  << text::Escape(screen_.substr(screen_.size() -
                                                 std::min<std::size_t>(screen_.size(), 2000)));
    return false;
  }
  return true;
}

void Terminal::Resize(std::uint16_t rows, std::uint16_t columns) {
  const winsize size = {rows, columns, 0, 0};
  EXPECT_EQ(ioctl(master_.get(), TIOCSWINSZ, &size), 0) << errno;
}

bool Terminal::IsCooked() const {
  termios modes{};
  EXPECT_EQ(tcgetattr(slave_.get(), &modes), 0) << errno;
  const tcflag_t wanted = ICANON | ECHO | ISIG;
  return (modes.c_lflag & wanted) == wanted && (modes.c_oflag & OPOST) != 0;
}

void Terminal::HangUp() {
  slave_.Reset();
  master_.Reset();
}

Outcome Terminal::Wait() {
  while (master_.valid() && Pump()) {
  }
  if (timed_out_) kill(pid_, SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, WNOHANG) == 0) {
    if (!timed_out_ && Clock::now() > deadline_) {
      timed_out_ = true;
      kill(pid_, SIGKILL);
    }
    poll(nullptr, 0, 2);
  }
  pid_ = -1;
  Outcome outcome;
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.timed_out = timed_out_;
  outcome.out = screen_;
  outcome.seconds = std::chrono::duration<double>(Clock::now() - started_).count();
  return outcome;
}

}  // namespace cellrun::test
