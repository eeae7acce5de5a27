// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace cellrun::cells {

// 1 to 63 of a-z, 0-9 and '-', starting with a letter: usable as a host name.
bool IsCellName(std::string_view name);

// Two words, such as "brave-otter", for which `taken` is false; a number is added when words run
// out.
std::string PickCellName(const std::function<bool(const std::string&)>& taken);

}  // namespace cellrun::cells
