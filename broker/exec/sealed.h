// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/exec/image.h"
#include "lib/policy/policy.h"

namespace cellrun::exec {

// Why an exec that was let through was not done after all, told across threads.
class Refusal {
 public:
  void Set(std::string why) {
    const std::lock_guard lock(mutex_);
    why_ = std::move(why);
  }
  std::optional<std::string> Take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(why_, std::nullopt);
  }

 private:
  std::mutex mutex_;
  std::optional<std::string> why_;  // guarded by mutex_
};

// One exec that a process in a waiting room may do: exactly this, or nothing.
struct Sealed {
  // One file that the exec would run.
  struct Image {
    FileVersion version;
    // 64 hex digits: a version says too little where the cell can write. "": the version is all
    // there is.
    std::string hash;
    bool operator==(const Image&) const = default;
  };

  std::string program;        // as the shim names it
  std::vector<Image> images;  // the named file first, then its interpreters
  // It runs in another tree, which nobody in a cell can write: the path alone says what it is.
  bool by_path = false;
  std::vector<std::string> argv;
  std::string env_digest;  // HashStrings
  std::string cwd;         // "": not compared
  policy::FileId cwd_id;
  policy::RuleReference rule;  // that allowed it
  std::string ask;             // its id; "" where nobody was asked
  bool checked = false;        // by an external checker
  // Where a difference is told; null: nobody wants to know.
  std::shared_ptr<Refusal> refusal;
};

}  // namespace cellrun::exec
