// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>

#include <chrono>

#include "lib/base/unique_fd.h"

namespace cellrun::launcher {

// The signals that a session passes on to its command, held back from the moment on in which the
// command may exist: one that came before the session is there would end the launcher by its
// default action, and the cell with it. They stay blocked for the rest of the process.
class HeldSignals {
 public:
  HeldSignals();

  // Readable, as signalfd(2), when one has come.
  [[nodiscard]] const UniqueFd& descriptor() const { return descriptor_; }

  // Waits until `fd` is readable or at its end. A signal that came more than kPatience ago is let
  // through meanwhile, and ends the process: the start of the cell hangs.
  static constexpr std::chrono::milliseconds kPatience{2000};
  void Await(const UniqueFd& fd) const;

 private:
  sigset_t handled_{};
  UniqueFd descriptor_;
};

}  // namespace cellrun::launcher
