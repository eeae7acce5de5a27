// SPDX-License-Identifier: Apache-2.0
#include "broker/egress/grants.h"

#include <algorithm>
#include <utility>

#include "broker/approvals/rule_text.h"
#include "lib/base/text.h"
#include "lib/policy/network_target.h"

namespace cellrun::egress {
namespace {

using policy::NetworkTarget;

// What stands behind `to:` and `ports:`; the text has been parsed, so it needs no more escaping.
std::string RuleText(const Grant& grant) {
  const Result<NetworkTarget> target = policy::ParseEndpoint(grant.to);
  if (!target.ok()) return "";
  const std::string host = policy::WithoutPorts(grant.to);
  std::string text = "    - {name: \"egress " + grant.id + "\", to: \"" + host + "\"";
  if (target->ports) {
    text += ", ports: [\"" + grant.to.substr(grant.to.rfind(':') + 1) + "\"]";
  }
  text += std::string(", then: ") + (grant.allow ? "allow" : "deny");
  // A rule knows whole seconds; what ends it in time is Expire.
  if (grant.expires) {
    text += ", expires: \"" +
            approvals::ExpiryText(std::chrono::ceil<std::chrono::seconds>(*grant.expires)) + "\"";
  }
  // What is taken away is so over either protocol.
  return text + "}\n" + (grant.allow ? "" : text + ", proto: udp}\n");
}

}  // namespace

Result<Grant> Grants::Add(const std::string& cell_id, Grant grant) {
  const Result<NetworkTarget> target = policy::ParseEndpoint(grant.to);
  if (!target.ok())
    return Error(EINVAL, "", text::Quote(grant.to) + ": " + target.error().operation());
  if (target->kind == NetworkTarget::Kind::kGroup || target->kind == NetworkTarget::Kind::kCell)
    return Error(EINVAL, "", text::Quote(grant.to) + ": a name, an address or `host` is expected");
  std::vector<Grant>& grants = cells_[cell_id];
  if (grants.size() >= kMostOfACell) return Error(ENOSPC, "", "the cell has 256 changes already");
  grant.id = "e" + std::to_string(++last_id_);
  grants.insert(grants.begin(), grant);
  return grant;
}

std::optional<Grant> Grants::Remove(const std::string& cell_id, const std::string& id) {
  const auto cell = cells_.find(cell_id);
  if (cell == cells_.end()) return std::nullopt;
  const auto found = std::find_if(cell->second.begin(), cell->second.end(),
                                  [&](const Grant& grant) { return grant.id == id; });
  if (found == cell->second.end()) return std::nullopt;
  Grant removed = std::move(*found);
  cell->second.erase(found);
  return removed;
}

bool Grants::Expire(const std::string& cell_id, Time now) {
  const auto cell = cells_.find(cell_id);
  if (cell == cells_.end()) return false;
  return std::erase_if(cell->second, [&](const Grant& grant) {
           return grant.expires && *grant.expires <= now;
         }) > 0;
}

std::optional<Time> Grants::NextExpiry(const std::string& cell_id) const {
  std::optional<Time> next;
  for (const Grant& grant : Of(cell_id)) {
    if (grant.expires && (!next || *grant.expires < *next)) next = grant.expires;
  }
  return next;
}

const std::vector<Grant>& Grants::Of(const std::string& cell_id) const {
  static const std::vector<Grant> kNone;
  const auto cell = cells_.find(cell_id);
  return cell == cells_.end() ? kNone : cell->second;
}

std::optional<policy::Source> Grants::DocumentFor(const std::string& cell_id) const {
  if (Of(cell_id).empty()) return std::nullopt;
  std::string text =
      "# Changes by `cellrun egress`, for as long as the cell lives.\ncellrun: 1\n"
      "name: egress\nnetwork:\n  rules:\n";
  for (const Grant& grant : Of(cell_id)) {
    text += "    # " + grant.id + ": " + text::Escape(grant.by) + "\n" + RuleText(grant);
  }
  return policy::Source{.name = "",
                        .origin = "egress of cell " + cell_id,
                        .text = std::move(text),
                        .layer = policy::Layer::kRemembered};
}

}  // namespace cellrun::egress
