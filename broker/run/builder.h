// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/loop/loop.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/sys/process.h"

namespace cellrun::run {

// The launcher, executed by the broker to build one cell (wire::kBuildWord). Destroying it ends
// that cell. Only on the loop's thread, which it never blocks.
class Builder {
 public:
  struct Callbacks {
    std::function<void(UniqueFd pidfd, std::vector<std::string> lost_layers)> started;
    std::function<void(const std::string& why)> failed;  // at most once, before or after `started`
  };
  // Starts the program; it waits for the plan.
  static Result<std::unique_ptr<Builder>> Start(loop::Loop& loop, Callbacks callbacks);
  // `plan` as wire::EncodePlan made it; `control` is init's end of the control socket; init is put
  // into `cgroups` first.
  Result<void> Build(const std::string& plan, UniqueFd control, const std::vector<int>& cgroups);
  ~Builder();
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

 private:
  Builder(loop::Loop& loop, Callbacks callbacks) : loop_(loop), callbacks_(std::move(callbacks)) {}
  void OnMessage();

  // The process outlives its owner by the moment that it takes to see the end of file.
  struct Process {
    pid_t pid = 0;
    UniqueFd pidfd;
    std::unique_ptr<loop::Loop::Watch> watch;
  };
  static void ReapWhenEnded(loop::Loop& loop, std::shared_ptr<Process> process);

  loop::Loop& loop_;
  Callbacks callbacks_;
  UniqueFd socket_;
  bool started_ = false;
  std::unique_ptr<loop::Loop::Watch> watch_;
};

}  // namespace cellrun::run
