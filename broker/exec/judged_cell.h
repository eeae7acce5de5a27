// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "broker/journal/record.h"
#include "broker/notify/supervisor.h"
#include "lib/policy/policy.h"

// For tests: a small real cell (own user, mount, pid and network namespace, the real filter and
// shim) whose programs are lambdas of the test, judged by a policy of the test.
namespace cellrun::exec {

// Decides with a function. Allows everything where none is given.
class FakePolicy : public policy::Policy {
 public:
  using Decider = std::function<policy::Verdict(const policy::ExecRequest&)>;

  explicit FakePolicy(Decider decide) : decide_(std::move(decide)) {}

  policy::Profile profile_value;
  bool wants_hash = false;
  std::optional<policy::Action> uniform;

  [[nodiscard]] const policy::Profile& profile() const override { return profile_value; }
  [[nodiscard]] policy::Verdict Decide(const policy::ExecRequest& request) const override;
  [[nodiscard]] bool NeedsHash(const policy::ExecImage& image) const override;
  [[nodiscard]] std::optional<policy::Action> Uniform() const override { return uniform; }
  [[nodiscard]] std::optional<std::chrono::system_clock::time_point> NextExpiry() const override {
    return std::nullopt;
  }
  [[nodiscard]] std::vector<Trial> Explain(const policy::ExecRequest&) const override { return {}; }
  // Every request that was decided, oldest first.
  [[nodiscard]] std::vector<policy::ExecRequest> requests() const;

 private:
  Decider decide_;
  mutable std::mutex mutex_;
  mutable std::vector<policy::ExecRequest> requests_;
};

policy::Verdict Allow();
policy::Verdict Deny(int error);  // 0: explained
// Allows all but images whose path ends with `name`.
FakePolicy::Decider DenyNamed(std::string name, int error);

class FakeJournal : public journal::Sink {
 public:
  bool refuses = false;

  std::uint64_t Append(journal::Record record) override;
  void SetResult(std::uint64_t seq, std::string result) override;
  [[nodiscard]] bool Healthy() const override { return !refuses; }

  [[nodiscard]] std::vector<journal::Record> records() const;
  // The last record of an exec of this path as written; fails the test if there is none.
  [[nodiscard]] journal::Record Last(const std::string& path) const;
  [[nodiscard]] std::size_t CountResult(const std::string& result) const;

 private:
  mutable std::mutex mutex_;
  std::vector<journal::Record> records_;
};

class JudgedCell {
 public:
  FakePolicy::Decider decide;  // null: allow
  bool observe = false;
  std::function<void(notify::CellFacts&)> equip;  // before the supervisor starts
  bool wants_hash = false;
  policy::Profile profile;
  std::optional<policy::Action> uniform;
  bool without_shim = false;
  bool journal_refuses = false;
  bool wait_killable = true;
  // Outside, once the supervisor runs; `pid` is the cell's init.
  std::function<void(notify::Supervisor&, pid_t pid)> outside;
  notify::Supervisor::OnEnd on_end;  // given: Run leaves the supervisor to Finish
  bool stop_early = false;           // destroy the supervisor after `outside`
  UniqueFd denial_file;

  // Filled by Run.
  FakeJournal journal;
  std::shared_ptr<FakePolicy> policy;
  std::string output;  // what was written to 1 and 2
  notify::Counters counters;
  std::vector<std::string> denials;

  // Runs `body` as a process of a cell: /usr is read-only, the working directory is a tmpfs with
  // nothing in it but the shim and kept/true, both read-only. The value that it returned as its
  // exit status, or 128 + the signal that killed it.
  int Run(const std::function<int()>& body);
  void Finish();

 private:
  std::unique_ptr<notify::Supervisor> supervisor_;
};

// ---- For bodies.

// execv(2) in a child made by fork; its exit status, 128 + signal, or −errno if the exec failed.
int Spawn(const std::vector<std::string>& argv, const std::string& path = "");
// The same by posix_spawn(3), which shares memory with the child until it executes.
int SpawnShared(const std::vector<std::string>& argv);
// An exec in this process, by a function, in a forked child: its status as above.
int InChild(const std::function<int()>& attempt);
int ExecErrno(const std::vector<std::string>& argv, const std::string& path = "");
bool CopyFile(const char* from, const char* to);
bool WriteScript(const char* path, const std::string& text);

}  // namespace cellrun::exec
