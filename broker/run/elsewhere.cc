// SPDX-License-Identifier: Apache-2.0
#include "broker/run/elsewhere.h"

#include <sys/wait.h>

#include <utility>

#include "broker/exec/task.h"
#include "lib/base/text.h"

namespace cellrun::run {
namespace {

constexpr int kDenied = 126;

std::string ResultOf(const Run::End& end) {
  if (!end.wait_status) return "failed";
  if (WIFSIGNALED(*end.wait_status)) return "signal:" + std::to_string(WTERMSIG(*end.wait_status));
  return "exit:" + std::to_string(WEXITSTATUS(*end.wait_status));
}

// One process, by number and start time together, may do what was approved.
Result<void> Grant(exec::Desk* desk, pid_t pid, const exec::Sealed& sealed) {
  if (desk == nullptr) return Error(ESRCH, "", "its cell has ended");
  const std::uint64_t start_time = TRY(exec::StartTime(pid));
  desk->Grant(pid, start_time, std::make_shared<const exec::Sealed>(sealed));
  return {};
}

}  // namespace

Elsewhere::Elsewhere(Broker broker, std::function<void()> on_gone)
    : broker_(broker), on_gone_(std::move(on_gone)) {}
Elsewhere::~Elsewhere() = default;

void Elsewhere::Run(const std::string& cell_id, exec::Waiter waiter) {
  const auto caller = broker_.registry.cells().find(cell_id);
  // The end of file of its channel tells the shim, if there is one still.
  if (caller == broker_.registry.cells().end() || caller->second->desk() == nullptr) return;
  const std::uint64_t id = next_++;
  Entry& entry = entries_[id];
  entry.caller = cell_id;
  entry.asked = std::move(waiter.asked);
  const exec::AskedExec& asked = *entry.asked;
  entry.run = std::make_unique<run::Run>(
      broker_.loop, broker_.janitor,
      Command{.program = asked.sealed.program,
              .directory = asked.ask.cwd,
              .argv = asked.sealed.argv,
              .environment = asked.environment},
      std::move(waiter.channel), [this, id](const Run::End& end) { OnEnded(id, end); });
  if (asked.ask.strategy == policy::Strategy::kMirror)
    return Mirror(entry, *caller->second, waiter.desk);
  entry.run->Refuse(kDenied, "cellrun: ghosts are not supported yet\n");
}

void Elsewhere::Mirror(Entry& entry, cells::Cell& caller, exec::Desk* desk) {
  entry.run->Start({.keep = [&caller](UniqueFd keeper) { return caller.Keep(std::move(keeper)); },
                    .grant = [desk, asked = entry.asked](
                                 pid_t pid) { return Grant(desk, pid, asked->sealed); },
                    .other_cell = false});
}

void Elsewhere::OnEnded(std::uint64_t id, const Run::End& end) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  const Entry& entry = found->second;
  if (entry.asked->seq != 0) broker_.journal.SetResult(entry.asked->seq, ResultOf(end));
  entries_.erase(found);
}

void Elsewhere::CellEnded(const std::string& cell_id) {
  std::erase_if(entries_, [&](auto& entry) {
    if (entry.second.caller != cell_id) return false;
    if (entry.second.asked->seq != 0) broker_.journal.SetResult(entry.second.asked->seq, "failed");
    return true;
  });
}

}  // namespace cellrun::run
