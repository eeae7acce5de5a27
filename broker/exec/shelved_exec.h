// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "broker/approvals/packed_ask.h"
#include "broker/exec/waiter.h"

namespace cellrun::exec {

// What was asked, for as long as a person needs: an AskedExec is three kilobytes, most of it empty,
// and says most things three times.
class ShelvedExec {
 public:
  // Only what runs in place and has been examined. `ask` is asked.ask.
  ShelvedExec(const AskedExec& asked, approvals::PackedAsk ask);
  // As it was, but for what only its examination needs: files, whether they are writable, checks.
  [[nodiscard]] std::shared_ptr<AskedExec> Restore() const;

  [[nodiscard]] static bool CanHold(const AskedExec& asked);
  // A person is to be asked, and nothing that takes long is to be found out before.
  [[nodiscard]] static bool CanHoldNow(const AskedExec& asked);
  // With the risks, where CanHoldNow.
  static std::shared_ptr<const ShelvedExec> Make(std::shared_ptr<AskedExec> asked);

  [[nodiscard]] const approvals::PackedAsk& ask() const { return ask_; }

 private:
  approvals::PackedAsk ask_;
  std::string rest_;
};

}  // namespace cellrun::exec
