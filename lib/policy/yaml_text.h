// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace cellrun::policy {

// A text as a YAML scalar that reads back as the same string: plain where that is safe, else in
// double quotes. Everything that is not printable ASCII is escaped, so it can be shown to a person;
// bytes that are not UTF-8, which YAML cannot hold, become '?', which as a glob matches them.
std::string YamlScalar(std::string_view text);

}  // namespace cellrun::policy
