// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cellrun::import {

// Clawrden's patterns in the glob language of profiles (lib/policy/glob.h).
struct GoGlob {
  std::string glob;
  bool valid = true;  // false: Clawrden compares it as a text, whatever the case of its letters
  bool expressible = true;  // false: a character class that a profile cannot say
};
GoGlob TranslateGlob(std::string_view pattern);

// For an invalid pattern: a glob that matches the text in any case.
std::string AnyCase(std::string_view text);

// Patterns of working directories that one of allowed_paths lets through: itself as a glob, itself
// as a text, and with a trailing "/*" everything below. Empty: it never matches.
struct Directories {
  std::vector<std::string> globs;
  bool expressible = true;
};
Directories TranslateDirectory(std::string_view pattern);

// Argument lists (`args`) that contain `text` when joined with single spaces: one list for each way
// in which its spaces may lie between arguments or inside of them. Nothing: too many spaces.
inline constexpr std::size_t kMostSpaces = 4;
std::optional<std::vector<std::vector<std::string>>> TranslateArgument(std::string_view text);

}  // namespace cellrun::import
