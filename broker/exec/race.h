// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

// For tests: what others do meanwhile.
namespace cellrun::exec {

// A sanitized process forks thirty times as slowly.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr int kScale = 10;
#else
inline constexpr int kScale = 1;
#endif

// A process that does something all the time, until the end of the scope.
class Busy {
 public:
  explicit Busy(const std::function<void()>& act) {
    pid_ = fork();
    if (pid_ == 0) {
      while (true) act();
    }
  }
  ~Busy() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

inline void Pause(int spins) {
  for (int i = 0; i < spins; ++i) asm volatile("" ::: "memory");
}

}  // namespace cellrun::exec
