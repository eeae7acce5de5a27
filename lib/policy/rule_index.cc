// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/rule_index.h"

#include <algorithm>
#include <limits>

namespace cellrun::policy {
namespace {

void Append(std::vector<std::uint32_t>& rules, std::uint32_t rule) {
  if (rules.empty() || rules.back() != rule) rules.push_back(rule);
}

}  // namespace

void RuleIndex::Add(std::uint32_t rule, const ProgramSet* programs) {
  if (programs == nullptr || !programs->literal()) {
    general_.push_back(rule);
    return;
  }
  for (const FileId& id : programs->ids) Append(by_id_[id], rule);
  for (const std::string& path : programs->paths) Append(by_path_[path], rule);
  for (const Applet& applet : programs->applets) {
    Append(by_id_[applet.file.id], rule);
    Append(by_path_[applet.file.canonical], rule);
  }
}

RuleIndex::Candidates::Candidates(const RuleIndex& index, const ExecImage& image) {
  const auto id = index.by_id_.find(image.id);
  if (id != index.by_id_.end()) lists_[0] = id->second;
  const auto path = index.by_path_.find(std::string_view(image.path));
  if (path != index.by_path_.end()) lists_[1] = path->second;
  lists_[2] = index.general_;
}

std::optional<std::uint32_t> RuleIndex::Candidates::Next() {
  constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t lowest = kNone;
  for (const auto& list : lists_) {
    if (!list.empty()) lowest = std::min(lowest, list.front());
  }
  if (lowest == kNone) return std::nullopt;
  for (auto& list : lists_) {
    if (!list.empty() && list.front() == lowest) list = list.subspan(1);
  }
  return lowest;
}

}  // namespace cellrun::policy
