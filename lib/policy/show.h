// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "lib/policy/profile.h"

namespace cellrun::policy {

enum class ShowFormat : std::uint8_t { kText, kJson };

// The merged profile, rules in the order in which they are tried. Text: like YAML, each value's
// origin behind it ("# strict.yaml:12", "# default"). JSON: {"value": …, "origin": …} for each
// value. Deterministic; text from files is escaped.
std::string ShowProfile(const Profile& profile, ShowFormat format);

}  // namespace cellrun::policy
