// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/seccomp.h>

#include <cstdint>
#include <optional>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::notify {

// A cell's seccomp listener, held by the broker. Thread-safe: the kernel gives each notification to
// one receiver only.
class Listener {
 public:
  // ENOTTY: the descriptor is no listener. Asks the kernel to wake receivers on the caller's core
  // where it can (6.6).
  static Result<Listener> Adopt(UniqueFd fd);

  [[nodiscard]] const UniqueFd& fd() const noexcept { return fd_; }
  // Nothing: the caller vanished, or a signal interrupted the wait.
  [[nodiscard]] Result<std::optional<seccomp_notif>> Receive() const;
  // Fails the call with `code` (an errno > 0). A caller that is gone needs no answer.
  void Refuse(std::uint64_t id, int code) const;
  void Return(std::uint64_t id, std::int64_t value) const;
  // Whether no task is left that could ever be heard here.
  [[nodiscard]] bool Ended() const;

 private:
  explicit Listener(UniqueFd fd) noexcept : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace cellrun::notify
