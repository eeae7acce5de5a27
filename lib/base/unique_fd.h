// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

namespace cellrun {

// Owns one file descriptor. close(2) is never retried (on Linux the number is free even after
// EINTR) and EBADF aborts: a double close is a security bug here, since the number may already name
// somebody else's file.
class UniqueFd {
 public:
  UniqueFd() noexcept = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) Reset(other.Release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { Reset(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] bool valid() const noexcept { return fd_ >= 0; }
  explicit operator bool() const = delete;  // 0 is a descriptor: ask valid()

  // Gives the descriptor up; the caller owns it.
  [[nodiscard]] int Release() noexcept { return std::exchange(fd_, -1); }
  void Reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

}  // namespace cellrun
