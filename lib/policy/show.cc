// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/show.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "lib/policy/show_rules.h"
#include "lib/policy/show_text.h"
#include "lib/policy/units.h"
#include "lib/policy/value_type.h"

namespace cellrun::policy {
namespace {

using Json = nlohmann::ordered_json;

// Builds {"section": {"key": {"value": …, "origin": …, "layer": …}}}; what nobody says and has no
// default is left out.
class Builder {
 public:
  explicit Builder(const Profile& profile) : profile_(profile) {}

  Json Run() {
    Head();
    Cell();
    Files();
    List(&shown_, "path", profile_.path);
    Commands();
    Network();
    if (!profile_.syscall_rules.empty()) {
      for (const SyscallRule& rule : profile_.syscall_rules) {
        Add(&shown_["syscalls"]["rules"], RuleValue(rule), rule.at, rule.layer);
      }
    }
    ShowLimits();
    Environment();
    ToolsAndSecrets();
    Approvals();
    for (const TestCase& test : profile_.tests) {
      Add(&shown_["tests"], TestValue(test), test.at, Layer::kProfile);
    }
    return std::move(shown_);
  }

 private:
  static Json Leaf(Json value, const Position& at, Layer layer) {
    const bool written = at.line != 0;
    return {{"value", std::move(value)},
            {"origin", written ? at.file + ":" + std::to_string(at.line) : "default"},
            {"layer", written ? LayerName(layer) : "default"}};
  }
  static void Add(Json* list, Json value, const Position& at, Layer layer) {
    list->push_back(Leaf(std::move(value), at, layer));
  }
  template <typename T>
  static Json Leaf(const Placed<T>& placed, Json value) {
    return Leaf(std::move(value), placed.at, placed.layer);
  }
  static void Text(Json* section, const char* key, const Placed<std::string>& placed) {
    if (!placed.value.empty()) (*section)[key] = Leaf(placed, placed.value);
  }
  static void List(Json* section, const char* key, const std::vector<Placed<std::string>>& list) {
    for (const Placed<std::string>& entry : list) {
      (*section)[key].push_back(Leaf(entry, entry.value));
    }
  }

  void Head() {
    shown_["cellrun"] = 1;
    shown_["name"] = profile_.name;
    if (!profile_.description.empty()) shown_["description"] = profile_.description;
    shown_["documents"] = Json::array();
    for (const Position& document : profile_.documents) {
      shown_["documents"].push_back(document.file);
    }
    List(&shown_, "require", profile_.require);
  }

  void Cell() {
    Json& cell = shown_["cell"];
    Text(&cell, "backend", profile_.backend);
    Text(&cell, "image", profile_.image);
    Text(&cell, "hostname", profile_.hostname);
    Text(&cell, "user", profile_.user);
  }

  void Files() {
    const Filesystem& from = profile_.filesystem;
    Json& files = shown_["filesystem"];
    Text(&files, "root", from.root);
    files["workspace"] = Leaf(from.workspace, WorkspaceModeName(from.workspace.value));
    Text(&files, "home", from.home);
    List(&files, "read", from.read);
    List(&files, "write", from.write);
    List(&files, "hide", from.hide);
    List(&files, "protect", from.protect);
    List(&files, "noexec", from.noexec);
    files["tmp"] = Leaf(from.tmp_bytes, FormatSize(from.tmp_bytes.value));
  }

  void Commands() {
    Json& commands = shown_["commands"];
    commands["default"] =
        Leaf(profile_.command_default, ActionName(profile_.command_default.value));
    for (const CommandRule& rule : profile_.command_rules) {
      Add(&commands["rules"], RuleValue(rule), rule.at, rule.layer);
    }
  }

  void Network() {
    Json& network = shown_["network"];
    network["default"] = Leaf(profile_.network_default, ActionName(profile_.network_default.value));
    for (const NetworkRule& rule : profile_.network_rules) {
      Add(&network["rules"], RuleValue(rule), rule.at, rule.layer);
    }
    for (const auto& [name, members] : profile_.network_groups) network["groups"][name] = members;
    for (const Placed<PublishedPort>& port : profile_.publish) {
      network["publish"].push_back(Leaf(port, PublishedText(port.value)));
    }
    if (!profile_.dns_upstream.empty()) network["dns"]["upstream"] = profile_.dns_upstream;
    for (const auto& [domain, split] : profile_.dns_split) {
      network["dns"]["split"][domain] =
          Leaf(split, split.value.empty() ? Json("system") : Json(split.value));
    }
    Text(&network, "upstream-proxy", profile_.upstream_proxy);
    Text(&network, "proxy-secret", profile_.proxy_secret);
  }

  void ShowLimits() {
    const Limits& limits = profile_.limits;
    const auto add = [&](const char* key, const auto& limit, const auto& format) {
      if (limit) shown_["limits"][key] = Leaf(*limit, format(limit->value));
    };
    const auto itself = [](auto value) { return value; };
    add("memory", limits.memory_bytes, FormatSize);
    add("processes", limits.processes, itself);
    add("cpus", limits.cpus, itself);
    add("files", limits.files, itself);
    add("time", limits.time, FormatDuration);
    add("output", limits.output_bytes, FormatSize);
  }

  void Environment() {
    Json environment;
    List(&environment, "pass", profile_.environment_pass);
    for (const auto& [name, value] : profile_.environment_set) {
      environment["set"][name] = Leaf(value, value.value);
    }
    List(&environment, "drop", profile_.environment_drop);
    if (!environment.is_null()) shown_["environment"] = std::move(environment);
  }

  void ToolsAndSecrets() {
    for (const Tool& tool : profile_.tools) {
      Add(&shown_["tools"], ToolValue(tool), tool.at, Layer::kProfile);
    }
    for (const Secret& secret : profile_.secrets) {
      Json value = {{"name", secret.name}, {"from", secret.from}};
      if (secret.as_file) value["as"] = "file";
      Add(&shown_["secrets"], std::move(value), secret.at, Layer::kProfile);
    }
  }

  void Approvals() {
    Json& approvals = shown_["approvals"];
    approvals["timeout"] =
        Leaf(profile_.approval_timeout, FormatDuration(profile_.approval_timeout.value));
    approvals["on-timeout"] =
        Leaf(profile_.approval_on_timeout, ActionName(profile_.approval_on_timeout.value));
    approvals["pending"] = Leaf(profile_.approvals_pending, profile_.approvals_pending.value);
    Json& audit = shown_["audit"];
    audit["commands"] =
        Leaf(profile_.audit_commands, AuditLevelName(profile_.audit_commands.value));
    audit["arguments"] =
        Leaf(profile_.audit_redact, profile_.audit_redact.value ? "redact" : "full");
    audit["network"] = Leaf(profile_.audit_network, AuditLevelName(profile_.audit_network.value));
  }

  const Profile& profile_;
  Json shown_;
};

}  // namespace

std::string ShowProfile(const Profile& profile, ShowFormat format) {
  const Json shown = Builder(profile).Run();
  if (format == ShowFormat::kText) return ShowAsText(shown);
  // A path in an origin may be any bytes; everything else is UTF-8.
  return shown.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace cellrun::policy
