// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace cellrun::policy {

// The manual page cellrun-profile(5) as scdoc source, from the key table.
std::string ProfileManualPage();

// Every key with its type, default, meaning and risk as Markdown tables: the generated part of
// profiles/README.md, between its markers.
std::string ProfileKeyReference();

}  // namespace cellrun::policy
