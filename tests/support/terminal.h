// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "lib/base/unique_fd.h"
#include "tests/support/process.h"

namespace cellrun::test {

// A person at a terminal: a command on a PTY of its own, as session leader. Everything waits for
// text; nothing waits for time.
class Terminal {
 public:
  explicit Terminal(Command command, std::uint16_t rows = 24, std::uint16_t columns = 80);
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal();  // hangs up, kills, reaps

  [[nodiscard]] pid_t pid() const { return pid_; }
  void Send(std::string_view keys);
  // Waits until `text` is on the screen after everything that was expected before; fails the test
  // (and says what was there) when the command ends or the limit passes first.
  bool Expect(std::string_view text);
  // Waits until `condition` holds of what was shown so far; fails the test as Expect does.
  bool WaitUntil(const std::function<bool(const std::string& shown)>& condition);
  void Resize(std::uint16_t rows, std::uint16_t columns);
  // Local modes of the terminal as the command left them: for "is it cooked again?"
  [[nodiscard]] bool IsCooked() const;
  // Closes our side, as a window that is closed.
  void HangUp();
  // Reads to the end and reaps; `out` holds everything that was ever shown.
  Outcome Wait();
  [[nodiscard]] const std::string& screen() const { return screen_; }

 private:
  bool Pump();

  pid_t pid_ = -1;
  UniqueFd master_;
  UniqueFd slave_;  // held so that modes can be read after the command ended
  std::string screen_;
  std::size_t seen_ = 0;
  std::chrono::steady_clock::time_point started_, deadline_;
  bool timed_out_ = false;
};

}  // namespace cellrun::test
