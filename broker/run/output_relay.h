// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/loop/loop.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::run {

// What a command prints that has been given secrets goes through the broker, which takes them out
// (Redactor). A thread for each output, since whoever reads it may be slow. Only on the loop's
// thread.
class OutputRelay {
 public:
  // `done` is called on the loop, once, when every output has ended and been passed on.
  OutputRelay(loop::Loop& loop, std::vector<std::string> secrets, std::function<void()> done);
  // The threads end by themselves, with their streams.
  ~OutputRelay();
  OutputRelay(const OutputRelay&) = delete;
  OutputRelay& operator=(const OutputRelay&) = delete;

  // What the command gets in place of `out`.
  Result<UniqueFd> Add(UniqueFd out);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace cellrun::run
