// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "launcher/client/error_form.h"
#include "launcher/options/verb.h"

namespace cellrun::options {

// A command line after parsing: every option is known, belongs to the verb, is given as often as it
// may be, and its value has the right form.
struct Arguments {
  const Verb* verb = nullptr;
  // Per option in the order given.
  std::vector<std::pair<OptionId, std::string>> values;
  std::vector<std::string> words;
  // "run" was not written (help and errors speak of what was).
  bool implied_run = false;

  [[nodiscard]] bool Has(OptionId id) const;
  // The value, or `other` if the option was not given.
  [[nodiscard]] std::string Get(OptionId id, std::string_view other = "") const;
  [[nodiscard]] std::vector<std::string> All(OptionId id) const;
};

// A mistake of the user's: exit status 2. Text of the command line in it is escaped.
using UsageError = launcher::ErrorForm;

// `words`: argv without argv[0].
std::variant<Arguments, UsageError> Parse(std::span<const std::string> words);

}  // namespace cellrun::options
