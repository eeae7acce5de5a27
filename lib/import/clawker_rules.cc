// SPDX-License-Identifier: Apache-2.0
#include "lib/import/clawker_rules.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace cellrun::import {
namespace {

using policy::Action;
using policy::NetworkTarget;
using policy::Problem;
using policy::YamlEntry;
using policy::YamlNode;
using Kind = YamlNode::Kind;

struct Protocol {
  std::string_view name;
  std::uint16_t port;  // 0: has to be given
};
constexpr std::array kProtocols = {
    Protocol{"https", 443}, Protocol{"http", 80}, Protocol{"wss", 443},
    Protocol{"ws", 80},     Protocol{"tls", 443}, Protocol{"ssh", 22},
    Protocol{"tcp", 0},     Protocol{"udp", 0},   Protocol{"opaque", 0}};

class Reader : public PolicyReader {
 public:
  using PolicyReader::PolicyReader;

  ClawkerFirewall Read(const YamlNode& root) {
    ClawkerFirewall firewall;
    if (!IsMap(root, "a Clawker configuration")) return firewall;
    const YamlNode* section = FindFirewall(root, &firewall);
    if (section == nullptr) {
      Note(At(root), "there is no security.firewall here");
      return firewall;
    }
    if (!IsMap(*section, "firewall")) return firewall;
    Known(*section, {"enable", "add_domains", "rules"});
    if (const YamlNode* enable = section->Find("enable")) {
      firewall.disabled = !Boolean(*enable, "enable");
    }
    if (const YamlNode* rules = section->Find("rules")) ReadRules(*rules, &firewall);
    if (const YamlNode* domains = section->Find("add_domains")) {
      for (const PolicyText& domain : Texts(*domains)) AddDomain(domain, &firewall);
    }
    return firewall;
  }

 private:
  // A whole configuration, its section `firewall`, or what stands in that.
  static const YamlNode* FindFirewall(const YamlNode& root, ClawkerFirewall* firewall) {
    if (root.Find("add_domains") != nullptr || root.Find("rules") != nullptr) return &root;
    const YamlNode* section = root.Find("firewall");
    const YamlNode* security = section == nullptr ? root.Find("security") : nullptr;
    for (const YamlEntry& entry : root.entries) {
      if (entry.key != (section != nullptr ? "firewall" : "security"))
        firewall->other_keys.push_back(entry.key);
    }
    if (security == nullptr) return section;
    for (const YamlEntry& entry : security->entries) {
      if (entry.key != "firewall") firewall->other_keys.push_back("security." + entry.key);
    }
    return security->Find("firewall");
  }

  void AddDomain(const PolicyText& domain, ClawkerFirewall* firewall) {
    ClawkerRule rule;
    rule.destination = domain;
    if (ReadDestination(&rule)) firewall->rules.push_back(std::move(rule));
  }

  bool ReadDestination(ClawkerRule* rule) {
    const Result<NetworkTarget> target = policy::ParseTarget(rule->destination.text);
    const bool usable = target.ok() && target->kind != NetworkTarget::Kind::kHost &&
                        target->kind != NetworkTarget::Kind::kCell &&
                        target->kind != NetworkTarget::Kind::kGroup;
    if (usable) {
      rule->target = *target;
      return true;
    }
    Note(rule->destination.at,
         "'" + rule->destination.text + "': " +
             (target.ok() ? "this means something else in a profile" : target.error().operation()),
         "a host name, .name, *.name, an address or a block");
    return false;
  }

  void ReadRules(const YamlNode& node, ClawkerFirewall* firewall) {
    if (node.kind == Kind::kNull || !IsList(node, "rules")) return;
    for (const YamlNode& item : node.items) {
      if (IsMap(item, "a rule")) ReadRule(item, firewall);
    }
  }

  void ReadRule(const YamlNode& node, ClawkerFirewall* firewall) {
    Known(node, {"dst", "proto", "port", "action", "path_rules", "path_default",
                 "insecure_skip_tls_verify"});
    ClawkerRule rule;
    const YamlNode* destination = node.Find("dst");
    if (destination == nullptr) return Note(At(node), "a rule without 'dst'");
    rule.destination = Place(*destination);
    const bool usable = ReadDestination(&rule);
    ReadProtocol(node, &rule);
    if (const YamlNode* action = node.Find("action")) rule.action = ActionOf(*action);
    if (const YamlNode* paths = node.Find("path_rules")) ReadPaths(*paths, &rule);
    if (const YamlNode* standard = node.Find("path_default")) {
      rule.path_default = Text(*standard);
      if (!rule.path_default.empty()) (void)ActionOf(*standard);
    }
    if (const YamlNode* skips = node.Find("insecure_skip_tls_verify")) {
      rule.skips_verification = Boolean(*skips, "insecure_skip_tls_verify");
    }
    if (usable) firewall->rules.push_back(std::move(rule));
  }

  void ReadProtocol(const YamlNode& node, ClawkerRule* rule) {
    if (const YamlNode* protocol = node.Find("proto")) {
      if (const std::string text = Text(*protocol); !text.empty()) rule->protocol = text;
    }
    const auto* known = std::find_if(kProtocols.begin(), kProtocols.end(),
                                     [&](const Protocol& p) { return p.name == rule->protocol; });
    if (known == kProtocols.end()) {
      return Note(At(node), "unknown proto '" + rule->protocol + "'",
                  "one of: https, http, wss, ws, ssh, tcp, udp, opaque");
    }
    rule->ports = {known->port, known->port};
    const YamlNode* port = node.Find("port");
    const std::string text = port != nullptr ? Text(*port) : "";
    if (text.empty()) {
      if (known->port == 0) Note(At(node), "'" + rule->protocol + "' needs a port");
      return;
    }
    const auto ports = policy::ParsePorts(text);
    if (!ports) return Note(At(*port), "'" + text + "' is no port", "\"443\" or \"8000-8010\"");
    rule->ports = *ports;
  }

  // Nothing said means allow.
  Action ActionOf(const YamlNode& node) {
    const std::string text = Text(node);
    if (text.empty() || text == "allow") return Action::kAllow;
    if (text != "deny") Note(At(node), "unknown action '" + text + "'", "allow or deny");
    return Action::kDeny;
  }

  void ReadPaths(const YamlNode& node, ClawkerRule* rule) {
    if (node.kind == Kind::kNull || !IsList(node, "path_rules")) return;
    for (const YamlNode& item : node.items) {
      if (!IsMap(item, "a path rule")) continue;
      Known(item, {"path", "action", "methods"});
      ClawkerPath path;
      if (const YamlNode* text = item.Find("path")) path.path = Text(*text);
      if (path.path.empty()) Note(At(item), "a path rule without 'path'");
      if (const YamlNode* action = item.Find("action")) path.action = ActionOf(*action);
      if (const YamlNode* methods = item.Find("methods")) {
        for (const PolicyText& method : Texts(*methods)) path.methods.push_back(method.text);
      }
      rule->paths.push_back(std::move(path));
    }
  }
};

}  // namespace

policy::Checked<ClawkerFirewall> ReadClawkerFirewall(const policy::Source& source) {
  YamlNode root;
  std::vector<Problem> problems = policy::ReadYaml(source, &root);
  if (!problems.empty()) return problems;
  Reader reader(source);
  ClawkerFirewall firewall = reader.Read(root);
  problems = reader.TakeProblems();
  if (!problems.empty()) return problems;
  return firewall;
}

}  // namespace cellrun::import
