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

namespace cellrun::history {
namespace {

using nlohmann::json;

constexpr const char* kDefaultProfile = "strict";
constexpr int kInvalid = 2;

// The exit status: only an allowed command is a success.
int Print(const json& explanation, const WhyOptions& options) {
  constexpr const char* kWhen[] = {"auto", "always", "never"};
  const bool color = output::UseColor(kWhen[static_cast<std::size_t>(options.color)]);
  (void)output::Print(options.output == Output::kTable ? ExplanationText(explanation, color)
                                                       : explanation.dump() + "\n");
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
