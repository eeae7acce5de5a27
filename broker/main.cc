// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>

#include "broker/daemon/daemon.h"
#include "broker/daemon/instance.h"
#include "broker/http/records.h"
#include "lib/base/log.h"
#include "lib/base/version.h"
#include "lib/sys/file.h"
#include "lib/sys/process.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun {
namespace {

struct Arguments {
  int ready_fd = -1;
  int idle_seconds = 60;
};

constexpr char kUsage[] =
    "usage: cellrun-broker [--ready-fd N] [--idle-seconds N]\n"
    "       cellrun-broker journal DATABASE TARGET\n"
    "       cellrun-broker --version\n";

bool Number(std::string_view text, int* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size() && *number >= 0;
}

bool Parse(int argc, char** argv, Arguments* arguments) {
  for (int i = 1; i < argc; i += 2) {
    const std::string_view option = argv[i];
    int* target = option == "--ready-fd"       ? &arguments->ready_fd
                  : option == "--idle-seconds" ? &arguments->idle_seconds
                                               : nullptr;
    if (target == nullptr || i + 1 >= argc || !Number(argv[i + 1], target)) return false;
  }
  return true;
}

// Standard error becomes the log; a log over 8 MiB becomes broker.log.1 first.
Result<void> OpenLog(const std::string& state_directory) {
  constexpr off_t kMaxLogBytes = 8 << 20;
  const std::string path = state_directory + "/broker.log";
  const Result<struct stat> facts = sys::FstatAt(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW);
  if (facts.ok() && facts->st_size > kMaxLogBytes) {
    TRY(sys::RenameAt2(AT_FDCWD, path.c_str(), AT_FDCWD, (path + ".1").c_str(), 0).With(path));
  }
  const UniqueFd log =
      TRY(sys::OpenAt(AT_FDCWD, path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0600)
              .With(path));
  TRY(sys::DuplicateTo(log, STDERR_FILENO));
  const UniqueFd null = TRY(sys::OpenAt(AT_FDCWD, "/dev/null", O_RDWR));
  TRY(sys::DuplicateTo(null, STDIN_FILENO));
  return sys::DuplicateTo(null, STDOUT_FILENO);
}

// Each cell needs some thirty descriptors here; cells count against the same user (hardening 10).
void RaiseLimits() {
  Result<rlimit64> files = sys::GetLimit(RLIMIT_NOFILE);
  if (!files.ok()) return;
  files->rlim_cur = files->rlim_max;
  (void)sys::SetLimit(RLIMIT_NOFILE, *files);  // then it stays where it was
}

void Say(const UniqueFd& ready, const std::string& line) {
  if (ready.valid()) (void)sys::WriteAll(ready, line + "\n");  // the starter may have given up
}

Result<void> Serve(const Arguments& arguments, const UniqueFd& ready) {
  TRY(OpenLog(TRY(wire::StateDirectory())));
  TRY(sys::SetDumpable(
      false));  // another process of this user, outside, must not read or drive it either
  RaiseLimits();
  const std::unique_ptr<daemon::Daemon> daemon = TRY(daemon::Daemon::Make(
      TRY(daemon::BecomeTheBroker()), {.idle = std::chrono::seconds(arguments.idle_seconds)}));
  log::Info("serving", {{"version", &kVersion[0]}, {"build", &kBuildId[0]}});
  Say(ready, "ready");
  daemon->Run();
  log::Info("stopped");
  return {};
}

// Each exec stop of a cell's task raises SIGCHLD for the thread that attached to it. That thread
// blocks every signal, so the kernel would look for another one and wake the main thread, once for
// each exec (do_notify_parent_cldstop, complete_signal in kernel/signal.c).
void IgnoreStopsOfTracees() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  action.sa_flags = SA_NOCLDSTOP;
  (void)sigaction(SIGCHLD, &action, nullptr);
}

int Main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    printf("cellrun-broker %s (%s)\n", &kVersion[0], &kBuildId[0]);
    return 0;
  }
  if (argc == 4 && std::string_view(argv[1]) == "journal")
    return http::AnswerOffline(argv[2], argv[3]);
  Arguments arguments;
  if (!Parse(argc, argv, &arguments)) {
    fputs(&kUsage[0], stderr);
    return 2;
  }
  // One arena for each two processors serves all threads: a supervisor's own would cost its cell
  // more memory than everything else about it, and what a burst leaves free in one is of no use to
  // another.
  mallopt(M_ARENA_MAX, static_cast<int>(std::max(1U, std::thread::hardware_concurrency() / 2)));
  (void)unsetenv("GLIBC_TUNABLES");  // it was for this process; single-threaded here
  umask(077);
  signal(SIGPIPE, SIG_IGN);
  IgnoreStopsOfTracees();
  UniqueFd ready(arguments.ready_fd);
  if (ready.valid()) (void)sys::SetCloseOnExec(ready, true);
  const Result<void> served = Serve(arguments, ready);
  if (served.ok()) return 0;
  if (served.error().code() == EBUSY) {
    Say(ready, "busy");
    return 0;
  }
  log::Fail("cannot serve", {{"error", served.error().ToString()}});
  Say(ready, "error " + served.error().ToString());
  return 1;
}

}  // namespace
}  // namespace cellrun

int main(int argc, char** argv) {
  try {
    return cellrun::Main(argc, argv);
  } catch (const std::exception& error) {
    cellrun::log::Fail("uncaught exception", {{"error", error.what()}});
    return 1;
  }
}
