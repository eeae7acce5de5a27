// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/loop/loop.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::run {

// What a command prints that has been given secrets, or that may only print so much, goes through
// the broker, which takes the secrets out (Redactor) and counts. A thread for each output, since
// whoever reads it may be slow. Only on the loop's thread.
class OutputRelay {
 public:
  struct Rules {
    std::vector<std::string> secrets;
    std::uint64_t most_bytes = UINT64_MAX;  // of all outputs together, with the secrets
  };
  struct Callbacks {
    std::function<void()> done;      // every output has ended and been passed on
    std::function<void()> exceeded;  // what was allowed has been passed on, and there was more
  };
  // Each is called on the loop, at most once, and not after this has gone.
  OutputRelay(loop::Loop& loop, Rules rules, Callbacks callbacks);
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
