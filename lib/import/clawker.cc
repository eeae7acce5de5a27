// SPDX-License-Identifier: Apache-2.0
#include "lib/import/clawker.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "lib/base/text.h"
#include "lib/import/clawker_rules.h"
#include "lib/policy/yaml_text.h"

namespace cellrun::import {
namespace {

using policy::Action;
using policy::NetworkTarget;

constexpr std::string_view kHeader =
    "# What differs:\n"
    "#\n"
    "# - A rule of Clawker for ssh or tcp sends every connection to that port to its host. Here a\n"
    "#   connection reaches the host that it names, or nothing.\n"
    "# - Clawker looks into TLS for https and wss. Here the name that a program asks for is "
    "judged,\n"
    "#   and what it sends to that host is not read: a host with rules for paths or methods is\n"
    "#   denied, and its rules stand as the reason.\n"
    "# - Hosts that resolve to private addresses are refused unless a rule names the addresses.\n"
    "# - Not imported: what Clawker itself lets out for each agent. Add the agent's profile to\n"
    "#   `extends`.\n"
    "# - Clawker judges no commands. Here every program may run; see `commands`.\n";

constexpr std::string_view kCell =
    "extends: [base]\n"
    "require: [userns, netns, seccomp]\n"
    "commands:\n"
    "  default: allow\n"
    "network:\n"
    "  default: deny\n";

bool IsExact(const ClawkerRule& rule) {
  return rule.target.kind == NetworkTarget::Kind::kName ||
         (rule.target.kind == NetworkTarget::Kind::kBlock &&
          rule.target.prefix == (rule.target.ipv6 ? 128 : 32));
}

bool IsDenied(const ClawkerRule& rule) {
  return rule.action == Action::kDeny || rule.NeedsInspection();
}

// Clawker: an exact name beats a wildcard, a longer wildcard a shorter one, and among equals deny
// wins. Here the first match does.
bool ComesFirst(const ClawkerRule& a, const ClawkerRule& b) {
  const auto order = [](const ClawkerRule& rule) {
    const bool everything = rule.target.kind == NetworkTarget::Kind::kEverything;
    const std::size_t length = IsExact(rule) ? 0 : rule.target.name.size();
    return std::tuple(!IsExact(rule), everything, SIZE_MAX - length, !IsDenied(rule));
  };
  return order(a) < order(b);
}

std::string PathText(const ClawkerPath& path) {
  std::string text = policy::ActionName(path.action);
  for (const std::string& method : path.methods) text += " " + method;
  return text + " " + path.path;
}

std::string InspectionReason(const ClawkerRule& rule) {
  std::string reason = "needs TLS inspection:";
  for (const ClawkerPath& path : rule.paths) reason += " " + PathText(path) + ";";
  if (!rule.path_default.empty()) return reason + " else " + rule.path_default;
  const bool allows = std::any_of(rule.paths.begin(), rule.paths.end(),
                                  [](const ClawkerPath& p) { return p.action == Action::kAllow; });
  return reason + (allows ? " else deny" : " else allow");
}

std::string ProfileName(const std::string& origin) {
  std::string file = origin.substr(origin.rfind('/') + 1);
  file = file.substr(0, file.find('.', 1));
  std::string name;
  for (const char c : file) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (plain || (c == '-' && !name.empty())) name += c;
  }
  return name.empty() ? "clawker" : name;
}

std::string PortText(const policy::PortRange& ports) {
  if (ports.first == ports.second) return std::to_string(ports.first);
  return policy::YamlScalar(std::to_string(ports.first) + "-" + std::to_string(ports.second));
}

class Writer {
 public:
  explicit Writer(const policy::Source& source) : source_(source) {}

  Imported Write(ClawkerFirewall firewall) {
    const std::string file = source_.origin.substr(source_.origin.rfind('/') + 1);
    Line("# Imported from the Clawker firewall rules of " + text::Escape(file) + ".\n#");
    result_.profile += kHeader;
    Line("cellrun: 1\nname: " + ProfileName(file));
    Line("description: " +
         policy::YamlScalar("Imported from the Clawker firewall rules of " + file));
    result_.profile += kCell;
    if (!firewall.other_keys.empty()) WriteOthers(firewall.other_keys);
    if (firewall.disabled) {
      Line("  # `enable: false`: Clawker let everything out; these rules are kept all the same.");
      result_.notes.emplace_back("the firewall was off there; here its rules hold");
    }
    std::stable_sort(firewall.rules.begin(), firewall.rules.end(), ComesFirst);
    if (!firewall.rules.empty()) Line("  rules:");
    for (const ClawkerRule& rule : firewall.rules) WriteRule(rule);
    return std::move(result_);
  }

 private:
  void Line(const std::string& line) { result_.profile += line + "\n"; }

  void WriteOthers(const std::vector<std::string>& keys) {
    std::string list;
    for (const std::string& key : keys) list += (list.empty() ? "" : ", ") + text::Escape(key);
    Line("  # Not imported: " + list);
  }

  void WriteRule(const ClawkerRule& rule) {
    const std::string place = "line " + std::to_string(rule.destination.at.line);
    std::string comment = "    # " + place + ": " + rule.protocol;
    if (rule.skips_verification) {
      comment += "; not imported: insecure_skip_tls_verify, nobody opens TLS here";
    }
    Line(comment);
    std::string yaml = "    - {to: " + policy::YamlScalar(rule.destination.text) + ", ports: [" +
                       PortText(rule.ports) + "]";
    if (rule.protocol == "udp") yaml += ", proto: udp";
    yaml += std::string(", then: ") + (IsDenied(rule) ? "deny" : "allow");
    if (rule.NeedsInspection()) {
      yaml += ", reason: " + policy::YamlScalar(InspectionReason(rule));
      result_.notes.push_back(rule.destination.text + " (" + place +
                              ") is denied: its path rules need TLS inspection");
    }
    Line(yaml + "}");
  }

  const policy::Source& source_;
  Imported result_;
};

}  // namespace

policy::Checked<Imported> ImportClawker(const policy::Source& source) {
  auto firewall = ReadClawkerFirewall(source);
  if (!firewall.ok()) return firewall.problems();
  Imported imported = Writer(source).Write(std::move(firewall.value()));
  const auto checked = policy::ReadExtends({"", "the imported profile", imported.profile});
  if (!checked.ok()) return checked.problems();
  return imported;
}

}  // namespace cellrun::import
