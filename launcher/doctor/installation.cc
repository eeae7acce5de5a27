// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string>

#include "launcher/client/http.h"
#include "launcher/doctor/probe.h"
#include "lib/base/text.h"
#include "lib/base/version.h"
#include "lib/sys/file.h"
#include "lib/sys/process.h"
#include "lib/wire/launch.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::doctor {
namespace {

constexpr off_t kLargestShim = 102400;
constexpr std::array kProfiles = {"base", "strict", "standard", "observe", "ci"};

Observation LookAtRuntimeDirectory() {
  auto directory = wire::RuntimeDirectory();
  return directory.ok() ? Present(*directory) : Missing(directory.error().ToString());
}

Observation LookAtStateDirectory() {
  auto directory = wire::StateDirectory();
  if (!directory.ok()) return Missing(directory.error().ToString());
  const std::string probe = *directory + "/doctor-" + std::to_string(getpid());
  const auto made = sys::OpenAt(AT_FDCWD, probe.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (!made.ok()) return Missing(made.error().ToString());
  (void)sys::UnlinkAt(AT_FDCWD, probe.c_str(), 0);  // made just now; nothing else to do
  return Present(*directory);
}

// Whoever could change it would decide what every cell may do.
std::string WhoElseMayWrite(const struct stat& file) {
  if (file.st_uid != 0 && file.st_uid != geteuid()) return "it belongs to somebody else";
  if ((file.st_mode & S_IWOTH) != 0) return "everybody may write it";
  return "";
}

Observation LookAtProgram(const char* name, off_t largest) {
  auto path = wire::LibexecPath(name);
  if (!path.ok()) return Missing(path.error().ToString());
  const auto file = sys::FstatAt(AT_FDCWD, path->c_str(), 0);
  if (!file.ok()) return Missing(*path + ": " + ErrnoText(file.error().code()));
  if (!S_ISREG(file->st_mode)) return Missing(*path + " is not a file");
  if ((file->st_mode & S_IXUSR) == 0) return Missing(*path + " is not executable");
  if (const std::string who = WhoElseMayWrite(*file); !who.empty()) {
    return Missing(*path + ": " + who);
  }
  if (largest > 0 && file->st_size > largest) {
    return Missing(*path + " has " + std::to_string(file->st_size / 1024) + " KiB");
  }
  return Present(*path + ", " + std::to_string(file->st_size / 1024) + " KiB");
}

// What the program says of itself: programs of different builds do not talk to each other.
Result<std::string> VersionOf(const std::string& program) {
  auto [read, write] = TRY(sys::Pipe2(O_CLOEXEC));
  const pid_t pid = fork();
  if (pid < 0) return ErrnoError("fork");
  if (pid == 0) {
    if (!sys::DuplicateTo(write, STDOUT_FILENO).ok()) _exit(1);
    const char* arguments[] = {program.c_str(), "--version", nullptr};
    execv(program.c_str(), const_cast<char**>(arguments));
    _exit(1);
  }
  sys::ChildProcess child(pid, TRY(sys::PidfdOpen(pid)));
  write.Reset();
  std::string text = TRY(sys::ReadWholeFile(read, 4096));
  (void)TRY(child.Wait());
  return text.substr(0, text.find('\n'));
}

Observation LookAtBrokerProgram() {
  Observation seen = LookAtProgram("cellrun-broker", 0);
  if (seen.state != State::kPresent) return seen;
  const auto path = wire::LibexecPath("cellrun-broker");
  if (!path.ok()) return Missing(path.error().ToString());
  const auto version = VersionOf(*path);
  if (!version.ok()) return Missing(version.error().ToString());
  if (version->find(kBuildId) == std::string::npos) {
    return Missing("is of another build: " + text::EscapeShort(*version, 100) + "; this is build " +
                   kBuildId);
  }
  return seen;
}

Observation LookAtShim() {
  return LookAtProgram("cellrun-shim", kLargestShim);
}

Observation LookAtProfiles() {
  auto directory = wire::InstalledProfiles();
  if (!directory.ok()) return Missing(directory.error().ToString());
  std::string missing;
  for (const char* name : kProfiles) {
    const std::string path = *directory + "/" + name + ".yaml";
    const auto file = sys::FstatAt(AT_FDCWD, path.c_str(), 0);
    const bool fine = file.ok() && S_ISREG(file->st_mode) && WhoElseMayWrite(*file).empty();
    if (!fine) missing += (missing.empty() ? "" : " ") + std::string(name);
  }
  if (!missing.empty()) return Missing("missing, or writable by others: " + missing);
  return Present(*directory);
}

Observation Judge(const nlohmann::json& status) {
  const auto text = [&status](const char* key) {
    return status.contains(key) && status[key].is_string() ? status[key].get<std::string>() : "";
  };
  const std::string shown = "version " + text::EscapeShort(text("version"), 60) + ", build " +
                            text::EscapeShort(text("build"), 60);
  if (text("version") != kVersion || text("build") != kBuildId) {
    return Missing(shown + " runs; this is " + kVersion + ", build " + kBuildId);
  }
  return Present("runs, " + shown);
}

Observation LookAtBroker() {
  auto directory = wire::RuntimeDirectory();
  if (!directory.ok()) return Missing(directory.error().ToString());
  client::HttpRequest request;
  request.target = "/v1/status";
  request.timeout = std::chrono::seconds(5);
  const auto response = client::Call(*directory + "/api.sock", request);
  if (!response.ok()) {
    const int code = response.error().code();
    if (code == ENOENT || code == ECONNREFUSED) {
      return {.state = State::kNotNeeded,
              .detail = "does not run; the first cell starts it",
              .fix = ""};
    }
    return Missing(response.error().ToString());
  }
  const auto status = wire::ParseStrictJson(response->body);
  if (response->status != 200 || !status.ok() || !status->is_object()) {
    return Missing("answers, but not as a broker of this release does");
  }
  return Judge(*status);
}

constexpr std::array kProbes = {
    Probe{"installation", "runtime directory", Need::kRequired, "launcher and broker cannot meet",
          "set CELLRUN_RUNTIME_DIR to a directory of your own with mode 0700",
          LookAtRuntimeDirectory},
    Probe{"installation", "state directory", Need::kRequired,
          "there is no journal, so nothing runs",
          "set CELLRUN_STATE_DIR to a directory of your own", LookAtStateDirectory},
    Probe{"installation", "cellrun-broker", Need::kRequired, "nothing judges, so nothing runs",
          "install cellrun again", LookAtBrokerProgram},
    Probe{"installation", "cellrun-shim", Need::kRequired,
          "no cell can be started, no denial explained", "install cellrun again", LookAtShim},
    Probe{"installation", "profiles", Need::kRequired, "strict and the others cannot be named",
          "install cellrun again", LookAtProfiles},
    Probe{"broker", "broker", Need::kRecommended,
          "its cells go on; the next one needs a broker of this build", "cellrun broker stop",
          LookAtBroker},
};

}  // namespace

std::span<const Probe> InstallationProbes() {
  return kProbes;
}

}  // namespace cellrun::doctor
