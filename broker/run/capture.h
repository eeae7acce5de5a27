// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "broker/loop/loop.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::run {

// What a program prints, up to a limit; more is read and dropped. Only on the loop's thread.
class Capture {
 public:
  Capture(loop::Loop& loop, std::size_t limit) : loop_(loop), limit_(limit) {}
  ~Capture() = default;
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  // What the program gets. Once.
  Result<UniqueFd> Open();
  // Everything that has been printed by now.
  void Drain();
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] bool overflowed() const { return overflowed_; }

 private:
  loop::Loop& loop_;
  const std::size_t limit_;
  UniqueFd read_;
  std::string text_;
  bool overflowed_ = false;
  std::unique_ptr<loop::Loop::Watch> watch_;
};

}  // namespace cellrun::run
