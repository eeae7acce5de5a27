// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>

#include "lib/base/result.h"

namespace cellrun::policy {

// A regular expression of `re:`, matched against whole subjects in linear time (RE2, at most 1 MiB
// each). It works on bytes and `.` matches every byte, also a newline or one that is not UTF-8:
// otherwise an argument could slip past a deny rule by containing one.
class Regex {
 public:
  virtual ~Regex() = default;
  [[nodiscard]] virtual bool Matches(std::string_view subject) const = 0;

  // EINVAL; the context is what RE2 says.
  static Result<std::shared_ptr<const Regex>> Compile(std::string_view expression);

  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;

 protected:
  Regex() = default;
};

}  // namespace cellrun::policy
