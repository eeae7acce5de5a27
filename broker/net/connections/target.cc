// SPDX-License-Identifier: Apache-2.0
#include "broker/net/connections/target.h"

#include <nlohmann/json.hpp>

#include "lib/policy/network_change.h"

namespace cellrun::net {

const char* ProtocolName(Protocol protocol) {
  return protocol == Protocol::kUdp ? "udp" : "tcp";
}

std::string ToString(const Destination& destination) {
  const bool bracketed = destination.host.find(':') != std::string::npos;
  std::string text = bracketed ? "[" + destination.host + "]" : destination.host;
  text += ":" + std::to_string(destination.port);
  if (destination.protocol == Protocol::kUdp) text += "/udp";
  return text;
}

std::string Target::ToString() const {
  return net::ToString(destination);
}

std::string DetailOf(const CellIdentity& cell, const nlohmann::json& members) {
  nlohmann::json detail = members;
  if (!cell.ghost_of.empty()) detail["ghost_of"] = cell.ghost_of;
  if (cell.exec != 0) detail["exec"] = cell.exec;
  return detail.empty() ? "" : detail.dump();
}

nlohmann::json ResolverMember(const std::string& resolver) {
  nlohmann::json members = nlohmann::json::object();
  if (!resolver.empty()) members["resolver"] = resolver;
  return members;
}

std::string RefusalOf(const CellIdentity& cell, const Verdict& verdict,
                      const Destination& destination) {
  std::string reason = verdict.reason.empty() ? verdict.message : verdict.reason;
  if (verdict.rule.name != "default" || verdict.rule.layer == policy::Layer::kFloor) return reason;
  const std::string rule = cell.ghost_of.empty()
                               ? policy::RuleLettingOut(destination)
                               : "ghost: {network: [\"" + ToString(destination) + "\"]}";
  if (rule.empty()) return reason;
  if (reason.empty()) reason = "no network rule lets it out";
  return reason + "; `" + rule + "` would";
}

journal::Record RecordOf(const CellIdentity& cell, const Origin& origin, const Target& target) {
  journal::Record record =
      journal::RecordNow(journal::Kind::kConnect, cell.id, origin.pid, cell.inside_uid, cell.user);
  record.exe = origin.exe;
  record.to = FormatAddress(target.endpoint.address);
  record.port = target.endpoint.port;
  record.proto = ProtocolName(target.destination.protocol);
  if (target.destination.host != record.to) record.name = target.destination.host;
  record.verdict = target.verdict.action;
  record.rule = target.verdict.rule;
  record.reason = target.verdict.reason.empty() ? target.verdict.message : target.verdict.reason;
  record.detail = DetailOf(cell, nlohmann::json::object());
  return record;
}

}  // namespace cellrun::net
