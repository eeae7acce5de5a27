// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "launcher/doctor/attack.h"

namespace cellrun::doctor {

struct AttackReport {
  std::string name, what;
  Outcome outcome = Outcome::kNotTried;
  std::string detail;  // escaped
};

struct SelfTest {
  std::string problem;  // why the cell did not run, or did not finish; "" if it did
  std::vector<AttackReport> attacks;
};

// Starts a throw-away cell under the profile strict, in a directory of its own that is removed
// afterwards, has it attacked from inside by AttackFromInside, and looks at what was left outside.
// The cell is started by this program itself, as a user would, so everything on the way is in the
// test.
SelfTest AttackThrowAwayCell();

}  // namespace cellrun::doctor
