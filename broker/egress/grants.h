// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/result.h"
#include "lib/policy/source.h"

namespace cellrun::egress {

using Time = std::chrono::system_clock::time_point;

// One change of a running cell's network rules. What was said last decides; a floor stays above it.
struct Grant {
  std::string id;  // "e1"
  std::string to;  // a destination as a rule has it, perhaps with ports: "*.example.com:443"
  bool allow = false;
  std::optional<Time> expires;
  std::string by;  // who said so
};

// Of every cell, as long as the cell lives. Only on the loop's thread.
class Grants {
 public:
  static constexpr std::size_t kMostOfACell = 256;

  // EINVAL: no destination; ENOSPC: too many. The context is a sentence.
  Result<Grant> Add(const std::string& cell_id, Grant grant);
  // Nothing: the cell has none of that id.
  std::optional<Grant> Remove(const std::string& cell_id, const std::string& id);
  // Whether any has gone by now.
  bool Expire(const std::string& cell_id, Time now);
  [[nodiscard]] std::optional<Time> NextExpiry(const std::string& cell_id) const;
  void ForgetCell(const std::string& cell_id) { cells_.erase(cell_id); }
  [[nodiscard]] const std::vector<Grant>& Of(const std::string& cell_id) const;
  // As a profile of the layer of answers; nothing if there is none.
  [[nodiscard]] std::optional<policy::Source> DocumentFor(const std::string& cell_id) const;

 private:
  std::map<std::string, std::vector<Grant>> cells_;  // the newest first
  int last_id_ = 0;
};

}  // namespace cellrun::egress
