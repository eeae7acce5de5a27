// SPDX-License-Identifier: Apache-2.0
#include "broker/run/checkers.h"

#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <utility>

#include "lib/base/log.h"
#include "lib/policy/writable_tree.h"
#include "lib/sys/memory.h"

namespace cellrun::run {
namespace {

constexpr std::chrono::seconds kLimit{10};
constexpr std::size_t kMaxAnswerBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxComplaintBytes = 4096;
constexpr int kAtOnce = 4;
constexpr std::size_t kMaxWaiting = 1024;

Error Because(const std::string& why) {
  return Error(EACCES, "", why);
}

std::vector<std::string> Words(const std::string& line, const std::string& home) {
  std::vector<std::string> words;
  std::istringstream split(line);
  for (std::string word; split >> word;)
    words.push_back(word.starts_with("~/") ? home + word.substr(1) : word);
  return words;
}

// The program's file on the host: an absolute path, or a name in a directory of `path`.
Result<std::string> FindProgram(const std::string& name, const policy::Profile& profile) {
  std::vector<std::string> candidates;
  if (name.starts_with('/')) candidates.push_back(name);
  if (name.find('/') == std::string::npos) {
    for (const auto& directory : profile.path) candidates.push_back(directory.value + "/" + name);
  }
  for (const std::string& candidate : candidates) {
    std::error_code code;
    const std::filesystem::path path = std::filesystem::canonical(candidate, code);
    if (!code && std::filesystem::is_regular_file(path, code)) return path.string();
  }
  return Because("the checker " + name + " is not there");
}

// Whoever is to be checked must not be the one who says so.
Result<void> CheckOutOfReach(const std::string& program, const cells::Cell& caller) {
  const wire::RunRequest& request = caller.setup().request;
  const policy::Filesystem& files = caller.setup().policy->profile().filesystem;
  std::vector<std::string> writable = request.write;
  writable.push_back(request.workspace);
  if (!files.home.value.empty()) writable.push_back(files.home.value);
  for (const auto& path : files.write) writable.push_back(path.value);
  const bool reached = std::any_of(
      writable.begin(), writable.end(),
      [&](const std::string& directory) { return policy::IsWithin(program, directory); });
  if (reached) return Because("the checker " + program + " lies where the cell can write");
  return {};
}

Result<std::string> Judge(const wire::ExitReport& report, const Capture& out) {
  if (!report.lost.empty()) return Because(report.lost);
  if (report.exec_error != 0)
    return Because("it cannot be executed: " + ErrnoText(report.exec_error));
  if (!report.started) return Because("it did not start");
  if (WIFSIGNALED(report.wait_status))
    return Because("it was killed by signal " + std::to_string(WTERMSIG(report.wait_status)));
  if (WEXITSTATUS(report.wait_status) != 0)
    return Because("it ended with status " + std::to_string(WEXITSTATUS(report.wait_status)));
  if (out.overflowed()) return Because("it printed too much");
  return out.text();
}

}  // namespace

void Checkers::Run(const std::string& caller, const std::string& command, std::string request,
                   Done done) {
  Caller& of = callers_[caller];
  if (of.waiting.size() >= kMaxWaiting) return done(Because("too many of its cell wait for one"));
  of.waiting.push_back(
      {.command = command, .request = std::move(request), .done = std::move(done)});
  StartNext(caller);
}

void Checkers::StartNext(const std::string& caller) {
  const auto found = callers_.find(caller);
  if (found == callers_.end() || found->second.running >= kAtOnce || found->second.waiting.empty())
    return;
  Order order = std::move(found->second.waiting.front());
  found->second.waiting.pop_front();
  ++found->second.running;
  const std::uint64_t id = next_++;
  Running& running = running_[id];
  running.caller = caller;
  running.done = std::move(order.done);
  const Result<void> started = Start(id, running, order);
  if (started.ok()) return;
  Tell(id, started.error());
  // Its cell may be on the way: then its end is what frees the place.
  if (running.ghost == nullptr) OnGone(id, {});
}

Result<void> Checkers::Start(std::uint64_t id, Running& running, const Order& order) {
  const Ghost::Broker broker = broker_();
  const auto caller = broker.registry.cells().find(running.caller);
  if (caller == broker.registry.cells().end()) return Because("its cell has ended");
  const cells::Cell::Setup& setup = caller->second->setup();
  std::vector<std::string> argv = Words(order.command, setup.request.home);
  if (argv.empty()) return Because("it names no program");
  const std::string program = TRY(FindProgram(argv[0], setup.policy->profile()));
  TRY(CheckOutOfReach(program, *caller->second));
  argv[0] = program;
  running.out = std::make_unique<Capture>(broker.loop, kMaxAnswerBytes);
  running.err = std::make_unique<Capture>(broker.loop, kMaxComplaintBytes);
  std::vector<UniqueFd> streams;
  streams.push_back(TRY(sys::MakeSealedMemfd("request", order.request)));
  streams.push_back(TRY(running.out->Open()));
  streams.push_back(TRY(running.err->Open()));
  running.deadline = broker.loop.After(kLimit, [this, id] {
    Tell(id, Because("it took longer than 10 s"));
    const auto found = running_.find(id);
    if (found != running_.end() && found->second.ghost != nullptr) found->second.ghost->End();
  });
  const policy::Ghost no_rights;
  running.ghost = TRY(
      Ghost::Start(broker,
                   {.caller = *caller->second,
                    .rights = no_rights,
                    .rule = {},
                    .argv = std::move(argv),
                    .directory = "/",
                    .streams = std::move(streams),
                    .read = {program}},
                   {.ready = [] {},
                    .failed =
                        [this, id](const std::string& why) {
                          Tell(id, Because("its cell was not made: " + why));
                        },
                    .gone = [this, id](const wire::ExitReport& report) { OnGone(id, report); }}));
  return {};
}

void Checkers::OnGone(std::uint64_t id, const wire::ExitReport& report) {
  const auto found = running_.find(id);
  if (found == running_.end()) return;
  Running& running = found->second;
  if (running.done != nullptr) {
    running.out->Drain();
    running.err->Drain();
    Result<std::string> printed = Judge(report, *running.out);
    if (!printed.ok()) {
      log::Warn("a checker failed",
                {{"error", printed.error().context()}, {"stderr", running.err->text()}});
    }
    Tell(id, std::move(printed));
  }
  const std::string caller = running.caller;
  running_.erase(id);
  const auto of = callers_.find(caller);
  if (of != callers_.end()) --of->second.running;
  StartNext(caller);
  on_gone_();
}

void Checkers::Tell(std::uint64_t id, Result<std::string> printed) {
  const auto found = running_.find(id);
  if (found == running_.end() || found->second.done == nullptr) return;
  std::exchange(found->second.done, nullptr)(std::move(printed));
}

void Checkers::CellEnded(const std::string& caller) {
  callers_.erase(caller);
  for (auto& [id, running] : running_) {
    if (running.caller != caller) continue;
    running.done = nullptr;
    if (running.ghost != nullptr) running.ghost->End();
  }
}

}  // namespace cellrun::run
