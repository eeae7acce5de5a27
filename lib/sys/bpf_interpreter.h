// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <string>
#include <vector>

// For tests: runs a seccomp program as the kernel does, for any architecture and any numbers, and
// remembers what was reached. Only the instructions that seccomp_check_filter() of the kernel lets
// through and our programs use; anything else aborts.
namespace cellrun::sys {

class BpfInterpreter {
 public:
  explicit BpfInterpreter(std::vector<sock_filter> program);

  // SECCOMP_RET_…
  std::uint32_t Run(const seccomp_data& data);

  // One line for each instruction that was never run and each branch that was never taken.
  [[nodiscard]] std::vector<std::string> Unreached() const;

 private:
  struct Reached {
    bool run = false, jumped_if_true = false, jumped_if_false = false;
  };

  std::vector<sock_filter> program_;
  std::vector<Reached> reached_;
};

}  // namespace cellrun::sys
