// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cellrun::options {

enum class Shell : std::uint8_t { kBash, kZsh, kFish };

// "bash", "zsh", "fish".
std::optional<Shell> ShellFromName(std::string_view name);

// A script for the shell, from the tables; profiles and cells are asked from cellrun itself when
// they are completed.
std::string CompletionScript(Shell shell);

}  // namespace cellrun::options
