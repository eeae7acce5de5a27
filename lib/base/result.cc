// SPDX-License-Identifier: Apache-2.0
#include "lib/base/result.h"

#include <cstring>

namespace cellrun {

std::string Error::ToString() const {
  std::string text = context_;
  if (*operation_ != '\0') {
    if (!text.empty()) text += ": ";
    text += operation_;
  }
  if (code_ != 0) text += ": " + ErrnoText(code_);
  return text;
}

std::string ErrnoText(int code) {
  const char* text = strerrordesc_np(code);
  return text != nullptr ? text : "Unknown error " + std::to_string(code);
}

std::string ErrnoName(int code) {
  const char* name = strerrorname_np(code);
  return name != nullptr ? name : "errno " + std::to_string(code);
}

int ErrnoFromName(std::string_view name) {
  for (int code = 1; code < 134; ++code) {
    const char* known = strerrorname_np(code);
    if (known != nullptr && name == known) return code;
  }
  return 0;
}

}  // namespace cellrun
