// SPDX-License-Identifier: Apache-2.0
#include "tests/support/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <ostream>

#include "lib/base/text.h"
#include "tests/support/time_factor.h"

namespace cellrun::test {
namespace {

using Clock = std::chrono::steady_clock;

struct PipeEnds {
  UniqueFd read, write;
};

PipeEnds MakePipe() {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) ADD_FAILURE() << "pipe2: " << errno;
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (auto& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> Flatten(const Environment& environment) {
  std::vector<std::string> strings;
  strings.reserve(environment.size());
  for (const auto& [name, value] : environment) {
    strings.push_back(name);
    strings.back().append("=").append(value);
  }
  return strings;
}

// Appends what is there; closes `fd` at the end of file.
void Drain(UniqueFd& fd, std::string& into) {
  std::array<char, 65536> buffer;
  const ssize_t count = read(fd.get(), buffer.data(), buffer.size());
  if (count > 0) {
    into.append(buffer.data(), static_cast<std::size_t>(count));
  } else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
    fd.Reset();
  }
}

void DuplicateOrExit(int fd, int number) {
  // A descriptor that is already in place keeps CLOEXEC through dup2: clear it by hand.
  if (fd == number) {
    fcntl(fd, F_SETFD, 0);
  } else if (dup2(fd, number) < 0) {
    _exit(125);
  }
}

}  // namespace

Environment InheritedEnvironment() {
  Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const auto equals = text.find('=');
    if (equals != std::string_view::npos) {
      environment[std::string(text.substr(0, equals))] = text.substr(equals + 1);
    }
  }
  return environment;
}

std::ostream& operator<<(std::ostream& stream, const Outcome& outcome) {
  return stream << "status " << outcome.status << (outcome.timed_out ? " (time limit)" : "")
                << "\nstdout: " << text::EscapeShort(outcome.out, 2000)
                << "\nstderr: " << text::EscapeShort(outcome.err, 4000);
}

Process::Process(Command command)
    : pending_input_(std::move(command.input)),
      hold_input_(command.hold_input),
      started_(Clock::now()),
      deadline_(started_ + command.time_limit * TimeFactor()) {
  PipeEnds in, out, err;
  if (command.stdin_fd < 0) in = MakePipe();
  if (command.stdout_fd < 0) out = MakePipe();
  if (command.stderr_fd < 0) err = MakePipe();
  auto environment = Flatten(command.environment);
  const auto argv = Pointers(command.argv);
  const auto envp = Pointers(environment);

  pid_ = fork();
  if (pid_ == 0) {
    // Own process group: a signal that a test sends to it does not come back to the test.
    setpgid(0, 0);
    DuplicateOrExit(command.stdin_fd < 0 ? in.read.get() : command.stdin_fd, 0);
    DuplicateOrExit(command.stdout_fd < 0 ? out.write.get() : command.stdout_fd, 1);
    DuplicateOrExit(command.stderr_fd < 0 ? err.write.get() : command.stderr_fd, 2);
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    signal(SIGPIPE, SIG_DFL);
    if (!command.directory.empty() && chdir(command.directory.c_str()) != 0) _exit(125);
    if (command.in_child) command.in_child();
    execvpe(argv[0], argv.data(), envp.data());
    _exit(errno == ENOENT ? 127 : 126);
  }
  EXPECT_GT(pid_, 0) << "fork: " << errno;
  input_ = std::move(in.write);
  output_ = std::move(out.read);
  error_ = std::move(err.read);
  for (const UniqueFd* fd : {&input_, &output_, &error_}) {
    if (fd->valid()) fcntl(fd->get(), F_SETFL, O_NONBLOCK);
  }
  PumpInput();
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      input_(std::move(other.input_)),
      output_(std::move(other.output_)),
      error_(std::move(other.error_)),
      pending_input_(std::move(other.pending_input_)),
      hold_input_(other.hold_input_),
      out_(std::move(other.out_)),
      err_(std::move(other.err_)),
      started_(other.started_),
      deadline_(other.deadline_),
      timed_out_(other.timed_out_) {}

Process::~Process() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void Process::Signal(int signal) const {
  EXPECT_EQ(kill(pid_, signal), 0) << "kill: " << errno;
}

void Process::Write(std::string_view bytes) {
  pending_input_ += bytes;
  PumpInput();
}

void Process::CloseInput() {
  hold_input_ = false;
  PumpInput();
}

void Process::PumpInput() {
  while (input_.valid() && !pending_input_.empty()) {
    const ssize_t count = write(input_.get(), pending_input_.data(), pending_input_.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return;
      input_.Reset();  // EPIPE: it does not read any more
      return;
    }
    pending_input_.erase(0, static_cast<std::size_t>(count));
  }
  if (pending_input_.empty() && !hold_input_) input_.Reset();
}

bool Process::Pump() {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now());
  if (!output_.valid() && !error_.valid()) return false;
  if (left.count() <= 0) {
    timed_out_ = true;
    return false;
  }
  std::array<pollfd, 3> polled = {pollfd{output_.get(), POLLIN, 0}, pollfd{error_.get(), POLLIN, 0},
                                  pollfd{pending_input_.empty() ? -1 : input_.get(), POLLOUT, 0}};
  if (poll(polled.data(), polled.size(), static_cast<int>(left.count())) <= 0) return true;
  if (polled[0].revents != 0) Drain(output_, out_);
  if (polled[1].revents != 0) Drain(error_, err_);
  if (polled[2].revents != 0) PumpInput();
  return true;
}

bool Process::WaitForOutput(std::string_view text) {
  while (out_.find(text) == std::string::npos) {
    if (!Pump()) return false;
  }
  return true;
}

bool Process::WaitForError(std::string_view text) {
  while (err_.find(text) == std::string::npos) {
    if (!Pump()) return false;
  }
  return true;
}

Outcome Process::Wait() {
  while (Pump()) {
  }
  if (timed_out_) kill(pid_, SIGKILL);
  int status = 0;
  // The streams may close before the process ends: the limit still holds.
  while (true) {
    const pid_t reaped = waitpid(pid_, &status, WNOHANG);
    if (reaped == pid_ || (reaped < 0 && errno != EINTR)) break;
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
  outcome.out = std::move(out_);
  outcome.err = std::move(err_);
  outcome.seconds = std::chrono::duration<double>(Clock::now() - started_).count();
  return outcome;
}

Outcome RunCommand(Command command) {
  return Process(std::move(command)).Wait();
}

}  // namespace cellrun::test
