// SPDX-License-Identifier: Apache-2.0
#include "tests/support/remains.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "lib/base/text.h"
#include "tests/support/time_factor.h"

namespace cellrun::test {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void AddChildren(pid_t parent, std::vector<pid_t>& found) {
  std::error_code ignored;
  const std::string tasks = "/proc/" + std::to_string(parent) + "/task";
  for (std::filesystem::directory_iterator it(tasks, ignored), end; it != end;
       it.increment(ignored)) {
    std::istringstream children(ReadFile(it->path() / "children"));
    for (pid_t child = 0; children >> child;) {
      found.push_back(child);
      AddChildren(child, found);
    }
    if (ignored) break;
  }
}

// `timeout` asks the test to end: its cells must end with it.
void OnTerminate(int signal) {
  for (const pid_t pid : Descendants()) kill(pid, SIGKILL);
  _exit(128 + signal);
}

}  // namespace

void BecomeReaper() {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGTERM, OnTerminate);
}

std::vector<pid_t> Descendants() {
  std::vector<pid_t> found;
  AddChildren(getpid(), found);
  return found;
}

std::string Describe(pid_t pid) {
  const std::string base = "/proc/" + std::to_string(pid);
  std::string line = ReadFile(base + "/cmdline");
  std::replace(line.begin(), line.end(), '\0', ' ');
  const std::string comm = ReadFile(base + "/comm");
  if (comm.empty()) return "";
  const std::string stat = ReadFile(base + "/stat");
  const auto after = stat.rfind(')');
  const std::string state = after == std::string::npos ? "?" : stat.substr(after + 2, 1);
  return std::to_string(pid) + " [" + text::Escape(comm.substr(0, comm.size() - 1)) + " " + state +
         "] " + text::EscapeShort(line, 200);
}

std::vector<pid_t> DescendantsRunning(const std::string& name) {
  std::vector<pid_t> found;
  for (const pid_t pid : Descendants()) {
    // Not the executable's link: a process that made itself undumpable keeps it from its own user.
    const std::string base = "/proc/" + std::to_string(pid);
    const std::string stat = ReadFile(base + "/stat");
    const auto open = stat.find('(');
    const auto close = stat.rfind(')');
    if (open == std::string::npos || close == std::string::npos) continue;
    const bool ended = stat.compare(close, 3, ") Z") == 0;
    if (!ended && stat.substr(open + 1, close - open - 1) == name.substr(0, 15))
      found.push_back(pid);
  }
  return found;
}

long DescriptorCount(pid_t pid) {
  struct stat status {};
  const std::string directory = "/proc/" + std::to_string(pid) + "/fd";
  // Its size is the count (since Linux 6.2), which may be asked without the right to list them.
  if (stat(directory.c_str(), &status) == 0 && status.st_size > 0) return status.st_size;
  std::error_code error;
  std::filesystem::directory_iterator entries(directory, error);
  return error ? -1 : std::distance(entries, std::filesystem::directory_iterator());
}

std::vector<std::string> WaitForNoDescendants(std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit * TimeFactor();
  while (true) {
    const pid_t reaped = waitpid(-1, nullptr, WNOHANG);
    if (reaped < 0) return {};  // ECHILD: nobody is left, neither child nor orphan
    if (reaped > 0) continue;
    if (std::chrono::steady_clock::now() > deadline) break;
    poll(nullptr, 0, 5);
  }
  std::vector<std::string> left;
  const auto pids = Descendants();
  for (const pid_t pid : pids) left.push_back(Describe(pid));
  for (const pid_t pid : pids) kill(pid, SIGKILL);
  while (waitpid(-1, nullptr, WNOHANG) >= 0 &&
         std::chrono::steady_clock::now() < deadline + std::chrono::seconds(5)) {
    for (const pid_t pid : Descendants()) kill(pid, SIGKILL);
    poll(nullptr, 0, 5);
  }
  return left;
}

std::vector<std::string> MountsMentioning(const std::string& text) {
  std::vector<std::string> found;
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    if (line.find(text) != std::string::npos) found.push_back(line);
  }
  return found;
}

std::vector<std::string> SocketsBelow(const std::string& directory) {
  std::vector<std::string> found;
  std::error_code ignored;
  for (std::filesystem::recursive_directory_iterator it(directory, ignored), end; it != end;
       it.increment(ignored)) {
    if (it->is_socket(ignored)) found.push_back(it->path());
  }
  return found;
}

}  // namespace cellrun::test
