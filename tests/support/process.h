// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/unique_fd.h"

namespace cellrun::test {

using Environment = std::map<std::string, std::string>;

// This process's environment.
Environment InheritedEnvironment();

struct Command {
  std::vector<std::string> argv = {};  // argv[0] is looked up in PATH
  Environment environment = {};        // the whole of it
  std::string directory = {};          // "" for the caller's
  std::string input = {};              // written to standard input, which is then closed
  bool hold_input = false;             // standard input stays open until CloseInput()
  // Instead of the pipes: what the stream is. Borrowed; -1 for a pipe.
  int stdin_fd = -1, stdout_fd = -1, stderr_fd = -1;
  std::function<void()> in_child = {};  // last before exec; async-signal-safe calls only
  std::chrono::seconds time_limit{60};
};

// How a command ended and what it wrote.
struct Outcome {
  int status = -1;         // exit code, or 128 + the signal that killed it
  bool timed_out = false;  // it was killed because it took longer than its limit
  std::string out, err;
  double seconds = 0;
};
// For failure messages: status and what was written, escaped and shortened.
std::ostream& operator<<(std::ostream& stream, const Outcome& outcome);

// A running command whose output is collected. Its destructor kills and reaps it.
class Process {
 public:
  // Fails the running test when the process cannot be made; exec errors are status 127 or 126.
  explicit Process(Command command);
  Process(Process&&) noexcept;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  Process& operator=(Process&&) = delete;
  ~Process();

  [[nodiscard]] pid_t pid() const { return pid_; }
  void Signal(int signal) const;
  void Write(std::string_view bytes);  // needs hold_input
  void CloseInput();
  // Reads until standard output contains `text`; false when it ended or the limit passed first.
  bool WaitForOutput(std::string_view text);
  bool WaitForError(std::string_view text);
  // Reads both streams to their end and reaps.
  Outcome Wait();
  [[nodiscard]] const std::string& out() const { return out_; }
  [[nodiscard]] const std::string& err() const { return err_; }

 private:
  // One round of poll(2); false when nothing is left to read or the limit passed.
  bool Pump();
  void PumpInput();

  pid_t pid_ = -1;
  UniqueFd input_, output_, error_;
  std::string pending_input_;
  bool hold_input_ = false;
  std::string out_, err_;
  std::chrono::steady_clock::time_point started_, deadline_;
  bool timed_out_ = false;
};

Outcome RunCommand(Command command);

}  // namespace cellrun::test
