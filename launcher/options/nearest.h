// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

namespace cellrun::options {

// The candidate that `word` was probably meant to be: one that it begins or that is a few slips
// (insert, delete, replace, exchange neighbours) away; "" if none is near.
std::string_view Nearest(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace cellrun::options
