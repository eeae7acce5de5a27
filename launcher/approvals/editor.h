// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lib/base/result.h"

namespace cellrun::approvals {

// Lets the person change an argument list in $VISUAL, $EDITOR or vi, as a JSON array with an
// argument a line. EINVAL: it is no such array afterwards; ECANCELED: the editor failed.
Result<std::vector<std::string>> EditArguments(const std::vector<std::string>& argv);

// A JSON array of at least one text, none with a NUL.
Result<std::vector<std::string>> ParseArguments(const std::string& text);

}  // namespace cellrun::approvals
