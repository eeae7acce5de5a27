// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "broker/exec/waiter.h"
#include "broker/journal/record.h"
#include "broker/rooms/check_answer.h"

namespace cellrun::rooms {

// Hears the external checkers of one exec, one after the other; each is told what the one before
// has made of it, and each answer is recorded. They can only tighten what was decided: an exec that
// is allowed may come out as one to ask a person about. Only on the loop's thread.
class Checks {
 public:
  // Error: it is denied, and why.
  using Done = std::function<void(Result<void> passed)>;
  // `asked` has been examined. Destroying this forgets the answers that are still to come.
  Checks(const RunChecker& run, journal::Sink& journal, exec::AskedExec& asked, Done done);
  ~Checks() = default;
  Checks(const Checks&) = delete;
  Checks& operator=(const Checks&) = delete;

  void Begin() { Next(); }

 private:
  void Next();
  void OnPrinted(const Result<std::string>& printed);
  Result<void> Apply(CheckAnswer answer);
  Result<void> Rewrite(std::vector<std::string> argv);
  void NeedPerson(const std::string& why);
  bool Record(const char* answer, const std::string& reason, bool denied);

  const RunChecker& run_;
  journal::Sink& journal_;
  exec::AskedExec& asked_;
  Done done_;
  std::size_t next_ = 0;
  std::chrono::steady_clock::time_point asked_at_;
  std::shared_ptr<Checks*> self_;
};

}  // namespace cellrun::rooms
