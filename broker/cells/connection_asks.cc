// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/connection_asks.h"

#include <memory>
#include <optional>
#include <utility>

#include "broker/exec/task.h"

namespace cellrun::cells {
namespace {

constexpr std::size_t kMostParents = 8;

approvals::Ask AskOf(const net::CellIdentity& cell, const AskTerms& terms,
                     const net::Origin& origin, const net::Target& target) {
  approvals::Ask ask;
  ask.cell_id = cell.id;
  ask.cell_name = cell.name;
  ask.profile = cell.profile;
  ask.workspace = cell.workspace;
  ask.pid = origin.pid;
  if (origin.pid != 0) {
    ask.parents = exec::ReadParents(origin.pid, terms.init_pid, kMostParents);
    ask.cwd = exec::ReadWorkingDirectory(origin.pid).value_or("");
  }
  ask.program = origin.exe;
  ask.argv = {"connect", target.ToString()};
  ask.rule = target.verdict.rule;
  ask.reason = target.verdict.reason;
  ask.risks = {"what it sends and receives is not looked at"};
  if (!cell.ghost_of.empty()) {
    ask.risks.push_back("it is of a command that runs in a ghost of the cell " + cell.ghost_of +
                        ", and may have rights that the cell does not have");
  }
  ask.timeout = terms.timeout;
  ask.on_timeout = terms.on_timeout;
  ask.attended = terms.attended;
  ask.rememberable = false;  // `cellrun egress add` lets a destination out for a while
  ask.max_pending = terms.max_pending;
  return ask;
}

// One connection that waits. On the loop's thread.
class Wait : public std::enable_shared_from_this<Wait> {
 public:
  Wait(approvals::Queue& queue, net::Egress::Decided decided)
      : queue_(queue), decided_(std::move(decided)) {}

  void Submit(approvals::Ask ask) {
    if (withdrawn_) return;
    const std::vector<std::string> shown = ask.argv;
    approvals::Queue::Submission submission = queue_.Submit(
        std::move(ask), [self = shared_from_this(), shown](const approvals::Decision& decision) {
          self->waiter_.reset();
          self->Decide(decision, shown);
        });
    if (submission.refusal) return Decide(*submission.refusal, shown);
    waiter_ = submission.waiter;
  }
  void Withdraw() {
    withdrawn_ = true;
    if (waiter_) queue_.Withdraw(*std::exchange(waiter_, std::nullopt));
  }

 private:
  // What was edited is not what the program has connected to.
  void Decide(const approvals::Decision& decision, const std::vector<std::string>& shown) {
    if (withdrawn_) return;
    const bool approved = decision.state == approvals::State::kApproved &&
                          (!decision.edited || decision.argv == shown);
    decided_(approved, decision.reason);
  }

  approvals::Queue& queue_;
  const net::Egress::Decided decided_;
  std::optional<std::uint64_t> waiter_;
  bool withdrawn_ = false;
};

}  // namespace

AskTerms TermsOf(const policy::Profile& profile, bool from_terminal, pid_t init_pid) {
  return {.timeout = profile.approval_timeout.value,
          .on_timeout = profile.approval_on_timeout.value,
          .attended = from_terminal || profile.approval_timeout.at.line != 0,
          .max_pending = profile.approvals_pending.value,
          .init_pid = init_pid};
}

net::Egress::Ask AskThrough(loop::Loop& loop, approvals::Queue& queue, net::CellIdentity cell,
                            AskTerms terms) {
  return [&loop, &queue, cell = std::move(cell), terms](
             const net::Origin& origin, const net::Target& target, net::Egress::Decided decided) {
    auto wait = std::make_shared<Wait>(queue, std::move(decided));
    loop.Post(
        [wait, cell, terms, origin, target] { wait->Submit(AskOf(cell, terms, origin, target)); });
    return [&loop, wait] { loop.Post([wait] { wait->Withdraw(); }); };
  };
}

}  // namespace cellrun::cells
