// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace cellrun::options {

// The manual page cellrun(1) as scdoc source, from the tables of verbs, options and topics.
std::string ManualPage();

}  // namespace cellrun::options
