// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "launcher/client/error_form.h"
#include "launcher/client/profile_lookup.h"
#include "launcher/history/command_request.h"
#include "launcher/history/explanation_text.h"
#include "launcher/history/history.h"
#include "launcher/history/source.h"
#include "launcher/output/rows.h"
#include "launcher/profile/documents.h"
#include "launcher/run/workspace.h"
#include "lib/base/text.h"
#include "lib/explain/explanation.h"
#include "lib/groups/host_groups.h"
#include "lib/policy/network_match.h"
#include "lib/policy/split_dns.h"

namespace cellrun::history {
namespace {

using nlohmann::json;

constexpr const char* kDefaultProfile = "strict";
constexpr int kInvalid = 2;

// The exit status: only an allowed command is a success.
int Print(const json& explanation, const WhyOptions& options) {
  constexpr const char* kWhen[] = {"auto", "always", "never"};
  const bool color = output::UseColor(kWhen[static_cast<std::size_t>(options.color)]);
  (void)output::Print(options.output == Output::kTable
                          ? ExplanationText(explanation, color)
                          : output::Document(explanation, output::Format::kJsonLines));
  return explanation.value("verdict", "") == "allow" ? 0 : 1;
}

int WhyRecord(const WhyOptions& options) {
  const Source source(options.places);
  if (source.empty()) {
    launcher::PrintError({"there is no record " + std::to_string(options.record),
                          "the journal is empty", "cellrun run -- COMMAND"});
    return 1;
  }
  json explanation;
  const auto outcome =
      source.Object("/v1/records/" + std::to_string(options.record) + "/why", explanation);
  if (outcome.error) return PrintOutcome(outcome);
  return Print(explanation, options);
}

std::string Shown(const std::string& text) {
  return text::IsUtf8(text) ? text : text::Escape(text);
}

// The same members as a record's, for what was not run.
json FactsOf(const policy::ExecRequest& request) {
  json facts = {{"kind", "exec"},
                {"path", Shown(request.raw_path)},
                {"exe", Shown(request.images[0].path)},
                {"argv", json::array()},
                {"cwd", Shown(request.cwd)}};
  for (const std::string& argument : request.argv) facts["argv"].push_back(Shown(argument));
  for (std::size_t i = 1; i < request.images.size(); ++i) {
    facts["chain"].push_back(Shown(request.images[i].path));
  }
  return facts;
}

json FactsOf(const policy::Destination& destination) {
  const bool is_ipv6 = destination.host.find(':') != std::string::npos;
  return {{"kind", "connect"},
          {"name", Shown(is_ipv6 ? "[" + destination.host + "]" : destination.host)},
          {"port", destination.port},
          {"proto", destination.protocol == policy::Protocol::kUdp ? "udp" : "tcp"}};
}

// `-- connect HOST:PORT` asks about a connection, not about a program of that name.
bool IsAboutConnection(const std::vector<std::string>& command) {
  return command.size() == 2 && command[0] == "connect";
}

std::string Listed(const std::vector<std::string>& servers) {
  std::string listed;
  for (const std::string& server : servers) listed += (listed.empty() ? "" : ", ") + server;
  return listed;
}

// Whose answer says where a name leads, where the profile says so.
std::optional<std::string> ResolverNote(const policy::Profile& profile, const std::string& host) {
  const auto name = policy::ReadHost(host);
  if (!name.ok() || name->kind != policy::NetworkTarget::Kind::kName) return std::nullopt;
  const auto split = policy::FindDomain(profile.dns_split, name->name);
  if (split == profile.dns_split.end()) {
    if (profile.dns_upstream.empty()) return std::nullopt;
    return "its addresses are asked of " + Listed(profile.dns_upstream) +
           ": `network.dns.upstream`";
  }
  const std::string servers = Listed(split->second.value);
  const policy::Position& at = split->second.at;
  return "its addresses are asked of " + (servers.empty() ? "the host's resolvers" : servers) +
         " alone: `network.dns.split` " + split->first + ", " + Shown(at.file) + ":" +
         std::to_string(at.line);
}

int WhyConnection(const policy::Profile& profile, const policy::Places& places,
                  const policy::Destination& destination, const WhyOptions& options) {
  const policy::GroupMembers members =
      groups::ReadHostGroups(groups::Host{.home = places.home}, profile);
  json explanation = explain::ToJson(explain::ExplainConnection(profile, destination, members));
  explanation["record"] = FactsOf(destination);
  explanation["notes"] = json::array();
  for (const std::string& group : groups::UsedGroups(profile)) {
    if (members.contains(group)) continue;
    explanation["notes"].push_back("@" + group + " is empty: this host is not configured for it");
  }
  const auto address = policy::ParseAddress(destination.host);
  if (address && policy::ReachOf(*address) == policy::Reach::kLoopback) {
    explanation["notes"].push_back(
        "in a cell this is the cell's own loopback, which needs no rule; the host's is `host`");
  }
  const bool is_name = !address && destination.host != "host";
  if (is_name && explanation["verdict"] != "deny") {
    explanation["notes"].push_back(
        "the addresses that the name has are judged again when it connects");
    if (const auto note = ResolverNote(profile, destination.host))
      explanation["notes"].push_back(*note);
  }
  return Print(explanation, options);
}

int WhyCommand(const WhyOptions& options) {
  const std::string name = options.profile.empty() ? kDefaultProfile : options.profile;
  auto places = profile::FindPlaces();
  if (auto* trouble = std::get_if<profile::Trouble>(&places)) {
    return profile::PrintTrouble(name, *trouble);
  }
  auto& found = std::get<policy::Places>(places);
  auto workspace = launcher::ChooseWorkspace(options.workspace, launcher::HereAndNow());
  if (auto* error = std::get_if<launcher::ErrorForm>(&workspace)) {
    launcher::PrintError(*error);
    return kInvalid;
  }
  const auto& chosen = std::get<launcher::Workspace>(workspace);
  found.workspace = chosen.path;
  auto overlay = launcher::FindWorkspaceOverlay(chosen.path);
  if (auto* error = std::get_if<launcher::ErrorForm>(&overlay)) {
    launcher::PrintError(*error);
    return kInvalid;
  }
  auto loaded = profile::Load(name, found, std::get<std::vector<policy::Source>>(overlay));
  if (auto* trouble = std::get_if<profile::Trouble>(&loaded)) {
    return profile::PrintTrouble(name, *trouble);
  }
  if (IsAboutConnection(options.command)) {
    const auto destination = policy::ParseDestination(options.command[1]);
    if (destination)
      return WhyConnection(std::get<policy::Profile>(loaded), found, *destination, options);
    launcher::PrintError({Shown(options.command[1]) + " is no destination",
                          "HOST:PORT is expected, perhaps with /udp behind it",
                          "cellrun why -- connect git.example.com:443"});
    return kInvalid;
  }
  auto compiled = policy::Policy::Compile(std::move(std::get<policy::Profile>(loaded)), found,
                                          profile::LookUpFile);
  if (!compiled.ok()) return profile::PrintTrouble(name, compiled.problems());
  const policy::Policy& policy = *compiled.value();
  const CommandRequest made =
      MakeRequest(options.command, policy.profile(), found, chosen.working_directory);
  json explanation =
      explain::ToJson(explain::Explain(policy, made.request, found, profile::LookUpFile));
  explanation["record"] = FactsOf(made.request);
  explanation["notes"] = json::array();
  if (!made.found) {
    explanation["notes"].push_back("there is no program " + Shown(options.command[0]) +
                                   " here: it was taken for one in /usr/bin");
  }
  return Print(explanation, options);
}

}  // namespace

int Why(const WhyOptions& options) {
  if (!options.command.empty()) return WhyCommand(options);
  return WhyRecord(options);
}

}  // namespace cellrun::history
