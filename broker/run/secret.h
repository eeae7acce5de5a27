// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "lib/base/result.h"
#include "lib/policy/profile.h"

namespace cellrun::run {

inline constexpr std::size_t kMaxSecretBytes = 64 * 1024;

// The values of secrets, by name; overwritten with zeroes when it goes.
class SecretValues {
 public:
  SecretValues() = default;
  SecretValues(SecretValues&&) noexcept = default;
  SecretValues& operator=(SecretValues&&) noexcept = default;
  SecretValues(const SecretValues&) = delete;
  SecretValues& operator=(const SecretValues&) = delete;
  ~SecretValues();

  struct Value {
    std::string name, value;
    bool as_file = false;
  };
  void Add(Value value) { values_.push_back(std::move(value)); }
  [[nodiscard]] const std::vector<Value>& values() const { return values_; }
  // What must not come out: of a file, each of its lines too.
  [[nodiscard]] std::vector<std::string> Needles() const;

 private:
  std::vector<Value> values_;
};

// Reads what `names` are in `secrets`, now. `environment` is that of the person who started the
// cell. May take long (a command has 10 s): not on the loop's thread. A line break at the end of a
// file or of what a command prints is not part of a value that is no file; a command is split at
// spaces and run without a shell, with PATH of the profile and the person's home. An error names
// the secret, never a value.
Result<SecretValues> ReadSecrets(const std::vector<policy::Secret>& secrets,
                                 const std::vector<std::string>& names,
                                 const std::vector<std::string>& environment);

}  // namespace cellrun::run
