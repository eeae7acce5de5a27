// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "broker/approvals/packed_ask.h"
#include "broker/exec/waiter.h"

namespace cellrun::rooms {

// What was asked, for as long as a person needs: an AskedExec is three kilobytes, most of it empty,
// and says most things three times.
class ShelvedExec {
 public:
  // Only what runs in place and has been examined. `ask` is asked.ask.
  ShelvedExec(const exec::AskedExec& asked, approvals::PackedAsk ask);
  // As it was, but for what only its examination needs: files, whether they are writable, checks.
  [[nodiscard]] std::shared_ptr<exec::AskedExec> Restore() const;

  [[nodiscard]] static bool CanHold(const exec::AskedExec& asked);

 private:
  approvals::PackedAsk ask_;
  std::string rest_;
};

}  // namespace cellrun::rooms
