// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "launcher/doctor/attack.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/sys/process.h"

namespace cellrun::doctor {

// What the self-test puts up on the host: a directory with a workspace, the attacking program and a
// decoy; a decoy process; listening sockets. Gone when it goes.
class Stage {
 public:
  static Result<Stage> Build();
  Stage(Stage&& other) noexcept = default;
  Stage& operator=(Stage&&) = delete;
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage();

  [[nodiscard]] const AttackPlan& plan() const { return plan_; }
  // argv of `cellrun run … -- attacker`.
  [[nodiscard]] std::vector<std::string> Command() const;
  [[nodiscard]] std::string hook() const { return plan_.workspace + "/.git/hooks/pre-commit"; }
  [[nodiscard]] std::string report() const { return directory_ + "/report.json"; }

 private:
  Stage() = default;
  Result<void> MakeDirectory();
  Result<void> MakeFiles();
  Result<void> CopyProgram();
  Result<void> StartDecoy();
  Result<void> OpenSockets();

  std::string directory_;
  AttackPlan plan_;
  sys::ChildProcess decoy_;
  UniqueFd decoy_hold_, abstract_socket_, tcp_socket_;
};

}  // namespace cellrun::doctor
