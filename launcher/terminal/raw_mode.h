// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <termios.h>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::terminal {

// The operator's terminal in raw mode, as long as this lives. Also restored when a fatal signal
// ends the process. One at a time.
class RawMode {
 public:
  // `terminal` is borrowed and must outlive this.
  static Result<RawMode> Enter(const UniqueFd& terminal);
  RawMode(RawMode&& other) noexcept;
  RawMode& operator=(RawMode&&) = delete;
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;
  ~RawMode();

  void Suspend() const;  // back to how it was, for a while
  void Resume() const;
  [[nodiscard]] const termios& before() const { return before_; }

 private:
  RawMode(const UniqueFd& terminal, const termios& before)
      : terminal_(&terminal), before_(before) {}
  const UniqueFd* terminal_;
  termios before_;
};

// Copies what belongs to the operator's keyboard (control characters, UTF-8 erasing) to the
// terminal of the cell.
void CopyKeyboardSettings(const termios& from, const UniqueFd& to);

// Reads away what a terminal answered to queries of a program that is gone, so that a shell does
// not take it for typing. Waits at most 100 ms for the first answer.
void DropPendingReplies(const UniqueFd& terminal);

}  // namespace cellrun::terminal
