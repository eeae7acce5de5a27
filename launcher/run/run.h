// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cellrun::launcher {

enum class TtyMode : std::uint8_t { kAuto, kYes, kNo, kRaw };

// `cellrun run`, as the command line said it; nothing is resolved or checked yet.
struct RunOptions {
  std::string profile;    // NAME or FILE; "" for the default
  std::string workspace;  // "" for the enclosing project
  std::string name;       // of the cell; "" lets the broker choose
  // --env K=V, or --env K (nothing: the caller's value is passed).
  std::vector<std::pair<std::string, std::optional<std::string>>> env;
  std::vector<std::string> read, write, publish, network;
  bool observe = false;
  TtyMode tty = TtyMode::kAuto;
  std::string report;                       // file; "" for none
  std::chrono::milliseconds time_limit{0};  // 0: what the profile says
  std::vector<std::string> argv;            // not empty
};

// Runs the command in a cell and returns the exit status for this process: the command's own; 128+N
// when signal N killed it; 123 output limit; 124 time limit; 125 cellrun failed before it ran; 126
// denied or not executable; 127 not found. Errors go to stderr as error: / cause: / try:. Call it
// single-threaded and with the descriptors 0 to 2 as the user gave them (closed ones included).
int Run(const RunOptions& options);

}  // namespace cellrun::launcher
