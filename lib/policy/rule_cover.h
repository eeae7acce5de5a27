// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/policy/profile.h"
#include "lib/policy/program_set.h"

namespace cellrun::policy {

// Whether one rule takes everything that another could match. True only where that is certain:
// literals, equal texts and patterns that plainly contain another.
class RuleCover {
 public:
  explicit RuleCover(ProgramBinder& binder) : binder_(binder) {}

  // Everything but the program: each condition of `wide` holds wherever those of `narrow` do.
  [[nodiscard]] bool Conditions(const When& wide, const When& narrow) const;
  // Whether `wide` names every program that `entry`, one text of `exe` or `script`, can mean.
  [[nodiscard]] bool Program(const When& wide, const std::string& entry) const;

  // What a rule says about its program: `exe`, else `script`; empty: any.
  static const std::vector<std::string>& Entries(const When& when);

 private:
  ProgramBinder& binder_;
};

// Whether the arguments that match `narrow` all match `wide` (both as in `args`).
bool ArgumentsCover(const std::vector<std::string>& wide, const std::vector<std::string>& narrow);

}  // namespace cellrun::policy
