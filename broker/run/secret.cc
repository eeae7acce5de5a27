// SPDX-License-Identifier: Apache-2.0
#include "broker/run/secret.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <sstream>

#include "lib/sys/file.h"
#include "lib/sys/process.h"

namespace cellrun::run {
namespace {

constexpr std::chrono::seconds kCommandLimit{10};

void Trim(std::string& value) {
  if (value.ends_with('\n')) value.pop_back();
  if (value.ends_with('\r')) value.pop_back();
}

Result<std::string> FromEnvironment(const std::string& name,
                                    const std::vector<std::string>& environment) {
  for (const std::string& entry : environment) {
    if (entry.starts_with(name + "=")) return entry.substr(name.size() + 1);
  }
  return Error(ENOENT, "", "the variable " + name + " is not set where the cell was started");
}

std::string Expand(const std::string& path, const std::vector<std::string>& environment) {
  const Result<std::string> home = FromEnvironment("HOME", environment);
  return path.starts_with("~/") && home.ok() ? *home + path.substr(1) : path;
}

Result<std::string> FromFile(const std::string& path) {
  return sys::ReadWholeFileAt(AT_FDCWD, path.c_str(), kMaxSecretBytes);
}

Result<std::string> ReadUntilEnd(const UniqueFd& from) {
  const auto deadline = sys::MonotonicNow() + kCommandLimit;
  std::string value;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - sys::MonotonicNow());
    pollfd polled{.fd = from.get(), .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || poll(&polled, 1, static_cast<int>(left.count())) <= 0)
      return Error(ETIMEDOUT, "", "it took longer than 10 s");
    std::array<char, 4096> bytes{};
    const std::size_t got = TRY(sys::Read(from, bytes));
    if (got == 0) return value;
    value.append(bytes.data(), got);
    explicit_bzero(bytes.data(), got);
    if (value.size() > kMaxSecretBytes) return Error(E2BIG, "", "it printed too much");
  }
}

Result<std::string> FromCommand(const std::string& line,
                                const std::vector<std::string>& environment) {
  std::vector<std::string> words;
  std::istringstream split(line);
  for (std::string word; split >> word;) words.push_back(Expand(word, environment));
  if (words.empty()) return Error(EINVAL, "", "it names no command");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::vector<std::string> kept;
  for (const char* name : {"PATH", "HOME", "USER", "LANG"}) {
    const Result<std::string> value = FromEnvironment(name, environment);
    if (value.ok()) kept.push_back(std::string(name) + "=" + *value);
  }
  std::vector<char*> variables;
  for (std::string& entry : kept) variables.push_back(entry.data());
  variables.push_back(nullptr);

  sys::Pipe output = TRY(sys::Pipe2(O_CLOEXEC));
  posix_spawn_file_actions_t actions{};
  (void)posix_spawn_file_actions_init(&actions);
  (void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  (void)posix_spawn_file_actions_adddup2(&actions, output.write.get(), STDOUT_FILENO);
  (void)posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_t attributes{};
  (void)posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  (void)posix_spawnattr_setsigmask(&attributes, &none);
  (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
  pid_t pid = 0;
  const int code =
      posix_spawnp(&pid, argv[0], &actions, &attributes, argv.data(), variables.data());
  (void)posix_spawn_file_actions_destroy(&actions);
  (void)posix_spawnattr_destroy(&attributes);
  if (code != 0) return Error(code, "posix_spawn", words[0]);
  output.write.Reset();
  Result<std::string> value = ReadUntilEnd(output.read);
  if (!value.ok()) (void)kill(-pid, SIGKILL);  // it leads a session, and so its group
  Result<std::optional<sys::WaitStatus>> status = sys::WaitPid(pid, 0);
  while (!status.ok() && status.error().code() == EINTR) status = sys::WaitPid(pid, 0);
  if (!value.ok()) return value;
  if (!status.ok() || !status->has_value() || (*status)->status != 0)
    return Error(EIO, "", "it failed");
  return value;
}

Result<std::string> ReadOne(const std::string& from, const std::vector<std::string>& environment) {
  const std::size_t colon = from.find(':');
  const std::string kind = from.substr(0, colon);
  const std::string rest = colon == std::string::npos ? "" : from.substr(colon + 1);
  if (kind == "env") return FromEnvironment(rest, environment);
  if (kind == "file") return FromFile(Expand(rest, environment));
  if (kind == "command") return FromCommand(rest, environment);
  return Error(EINVAL, "", "its source is not known");
}

}  // namespace

SecretValues::~SecretValues() {
  for (Value& each : values_) explicit_bzero(each.value.data(), each.value.size());
}

std::vector<std::string> SecretValues::Needles() const {
  constexpr std::size_t kShortestLine = 8;  // less is in too much that is no secret
  std::vector<std::string> needles;
  for (const Value& secret : values_) {
    const std::string& value = secret.value;
    const std::size_t last = value.find_last_not_of("\r\n");
    needles.push_back(value.substr(0, last == std::string::npos ? 0 : last + 1));
    if (!secret.as_file) continue;
    for (std::size_t at = 0; at < value.size();) {
      const std::size_t end = std::min(value.find('\n', at), value.size());
      if (end - at >= kShortestLine) needles.push_back(value.substr(at, end - at));
      at = end + 1;
    }
  }
  return needles;
}

Result<SecretValues> ReadSecrets(const std::vector<policy::Secret>& secrets,
                                 const std::vector<std::string>& names,
                                 const std::vector<std::string>& environment) {
  SecretValues values;
  for (const std::string& name : names) {
    const auto secret = std::find_if(secrets.begin(), secrets.end(),
                                     [&](const policy::Secret& each) { return each.name == name; });
    if (secret == secrets.end()) return Error(ENOENT, "", "there is no secret " + name);
    Result<std::string> value = ReadOne(secret->from, environment);
    if (!value.ok())
      return Error(value.error().code(), "",
                   "the secret " + name + " cannot be read: " + value.error().ToString());
    if (!secret->as_file && !secret->from.starts_with("env:")) Trim(*value);
    if (!secret->as_file && value->find('\0') != std::string::npos)
      return Error(EINVAL, "", "the secret " + name + " has a NUL byte");
    values.Add({.name = name, .value = std::move(*value), .as_file = secret->as_file});
  }
  return values;
}

}  // namespace cellrun::run
