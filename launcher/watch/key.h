// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cellrun::watch {

struct Key {
  enum class Kind : std::uint8_t {
    kCharacter,
    kUp,
    kDown,
    kLeft,
    kRight,
    kPageUp,
    kPageDown,
    kHome,
    kEnd,
    kEnter,
    kEscape,
    kBackspace,
    kDelete,
    kClear,   // Ctrl-U
    kRedraw,  // Ctrl-L
    kOther,
  };
  Kind kind = Kind::kOther;
  char32_t character = 0;  // of kCharacter
  bool pasted = false;     // not typed: goes into text fields only
};

}  // namespace cellrun::watch
