// SPDX-License-Identifier: Apache-2.0
#include "launcher/doctor/self_test.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "launcher/doctor/stage.h"
#include "lib/base/text.h"
#include "lib/sys/file.h"
#include "lib/wire/launch.h"

namespace cellrun::doctor {
namespace {

constexpr std::size_t kMaxOutput = 1 << 20;
constexpr std::size_t kMaxReport = 16 << 20;
constexpr std::size_t kShownErrors = 2000;
// Longer than the cell's own limit, which ends it with a message.
constexpr std::chrono::seconds kTime{90};

struct Captured {
  std::string output, errors;
  int status = 0;  // as wait(2)
};

// In the child: becomes the launcher, with a variable and a descriptor that must not arrive.
[[noreturn]] void Become(const Stage& stage, const UniqueFd& output, const UniqueFd& errors) {
  const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const UniqueFd root(open("/", O_PATH | O_CLOEXEC));
  constexpr int kLeaked = 97;
  const bool ready = null.valid() && root.valid() && sys::DuplicateTo(null, STDIN_FILENO).ok() &&
                     sys::DuplicateTo(output, STDOUT_FILENO).ok() &&
                     sys::DuplicateTo(errors, STDERR_FILENO).ok() &&
                     sys::DuplicateTo(root, kLeaked).ok();
  // NOLINTNEXTLINE(concurrency-mt-unsafe): single-threaded
  if (!ready || setenv("CELLRUN_DOCTOR_SECRET", stage.plan().secret.c_str(), 1) != 0) _exit(125);
  const std::vector<std::string> command = stage.Command();
  std::vector<char*> argv;
  argv.reserve(command.size() + 1);
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execv("/proc/self/exe", argv.data());
  _exit(125);
}

// Appends what is there; false at the end of the file.
bool Drain(const UniqueFd& pipe, std::string* text) {
  std::array<char, 4096> buffer{};
  const auto size = sys::Read(pipe, buffer);
  if (!size.ok() || *size == 0) return false;
  const std::size_t room = kMaxOutput - std::min(kMaxOutput, text->size());
  text->append(buffer.data(), std::min(*size, room));
  return true;
}

Result<void> ReadBoth(const UniqueFd& output, const UniqueFd& errors, Captured* captured) {
  const auto deadline = sys::MonotonicNow() + kTime;
  std::array<pollfd, 2> wait = {pollfd{output.get(), POLLIN, 0}, pollfd{errors.get(), POLLIN, 0}};
  while (wait[0].fd >= 0 || wait[1].fd >= 0) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - sys::MonotonicNow());
    const int ready =
        poll(wait.data(), wait.size(), static_cast<int>(std::max<std::int64_t>(0, left.count())));
    if (ready == 0) return Error(ETIMEDOUT, "self-test");
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return ErrnoError("poll");
    if (wait[0].revents != 0 && !Drain(output, &captured->output)) wait[0].fd = -1;
    if (wait[1].revents != 0 && !Drain(errors, &captured->errors)) wait[1].fd = -1;
  }
  return {};
}

Result<Captured> RunCell(const Stage& stage) {
  auto output = TRY(sys::Pipe2(O_CLOEXEC));
  auto errors = TRY(sys::Pipe2(O_CLOEXEC));
  const pid_t pid = fork();
  if (pid < 0) return ErrnoError("fork");
  if (pid == 0) Become(stage, output.write, errors.write);
  output.write.Reset();
  errors.write.Reset();
  sys::ChildProcess launcher(pid, TRY(sys::PidfdOpen(pid)));
  Captured captured;
  TRY(ReadBoth(output.read, errors.read, &captured));
  captured.status = TRY(launcher.Wait());
  return captured;
}

std::string StatusText(const Captured& captured) {
  std::string text = WIFEXITED(captured.status)
                         ? "exit status " + std::to_string(WEXITSTATUS(captured.status))
                         : "signal " + std::to_string(WTERMSIG(captured.status));
  if (!captured.errors.empty()) text += ": " + captured.errors.substr(0, kShownErrors);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

Outcome OutcomeFromName(const std::string& name) {
  for (const Outcome outcome : {Outcome::kHeld, Outcome::kBroken}) {
    if (name == OutcomeName(outcome)) return outcome;
  }
  return Outcome::kNotTried;
}

// One line of the attacker's. It ran in the cell, so its text is not trusted; that a cell could lie
// about its own attacks is no matter: the program is ours.
void Note(const std::string& line, std::vector<AttackReport>* attacks) {
  const auto json = wire::ParseStrictJson(line);
  if (!json.ok() || !json->is_object()) return;
  const auto text = [&json](const char* key) {
    const auto found = json->find(key);
    return found != json->end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  for (AttackReport& attack : *attacks) {
    if (attack.name != text("attack")) continue;
    attack.outcome = OutcomeFromName(text("outcome"));
    attack.detail = text::EscapeShort(text("detail"), 300);
  }
}

AttackReport CheckHook(const Stage& stage) {
  AttackReport report{"hook-left", "leave a git hook behind", Outcome::kHeld, ""};
  if (sys::FstatAt(AT_FDCWD, stage.hook().c_str(), AT_SYMLINK_NOFOLLOW).ok()) {
    report.outcome = Outcome::kBroken;
    report.detail = "there is a hook in the workspace after the cell's end";
  }
  return report;
}

// An attack that was denied but left no trace would be half a success.
AttackReport CheckRecords(const Stage& stage) {
  AttackReport report{"denials-unrecorded", "be denied without a record", Outcome::kBroken,
                      "the report has no denial"};
  const auto text = sys::ReadWholeFileAt(AT_FDCWD, stage.report().c_str(), kMaxReport);
  if (!text.ok()) {
    report.detail = "there is no report";
    return report;
  }
  const auto json = wire::ParseStrictJson(*text);
  if (!json.ok() || !json->is_object()) return report;
  const auto denials = json->find("denials");
  if (denials != json->end() && denials->is_array() && !denials->empty()) {
    report.outcome = Outcome::kHeld;
    report.detail = std::to_string(denials->size()) + " denials in the report";
  }
  return report;
}

}  // namespace

SelfTest AttackThrowAwayCell() {
  SelfTest test;
  auto stage = Stage::Build();
  if (!stage.ok()) {
    test.problem = stage.error().ToString();
    return test;
  }
  const auto captured = RunCell(*stage);
  if (!captured.ok()) {
    test.problem = captured.error().ToString();
    return test;
  }
  for (const Attack& attack : AllAttacks()) {
    test.attacks.push_back({attack.name, attack.what, Outcome::kNotTried, "the cell ended before"});
  }
  const std::string& text = captured->output;
  std::size_t start = 0;
  for (std::size_t end = 0; (end = text.find('\n', start)) != std::string::npos; start = end + 1) {
    Note(text.substr(start, end - start), &test.attacks);
  }
  if (captured->status != 0) {
    test.problem = StatusText(*captured);
    // Where none was tried, the list says nothing.
    const bool tried =
        std::any_of(test.attacks.begin(), test.attacks.end(),
                    [](const auto& attack) { return attack.outcome != Outcome::kNotTried; });
    if (!tried) test.attacks.clear();
    return test;
  }
  test.attacks.push_back(CheckHook(*stage));
  test.attacks.push_back(CheckRecords(*stage));
  return test;
}

}  // namespace cellrun::doctor
