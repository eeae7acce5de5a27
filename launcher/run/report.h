// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <variant>

#include "launcher/client/error_form.h"
#include "launcher/run/changes.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/wire/launch.h"

namespace cellrun::launcher {

// The file of --report. It is opened before the command starts: a mistyped path costs no run, and
// what the cell puts in its place meanwhile is not written through.
class RunReport {
 public:
  static std::variant<RunReport, ErrorForm> Open(const std::string& file,
                                                 const std::string& workspace);

  // Replaces the contents. `exit_status` is what this process will exit with.
  Result<void> Write(const wire::CellPlan& plan, const wire::ExitReport& exit, int exit_status);

 private:
  RunReport(UniqueFd file, std::string workspace)
      : file_(std::move(file)), workspace_(std::move(workspace)) {}
  UniqueFd file_;
  std::string workspace_;
  std::optional<Snapshot> before_;
  std::chrono::nanoseconds started_{};
};

}  // namespace cellrun::launcher
