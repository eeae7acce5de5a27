// SPDX-License-Identifier: Apache-2.0
#include "launcher/profile/profile_verbs.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <system_error>

#include "launcher/client/error_form.h"
#include "launcher/client/profile_lookup.h"
#include "launcher/output/rows.h"
#include "launcher/profile/documents.h"
#include "lib/base/text.h"
#include "lib/groups/host_groups.h"
#include "lib/import/clawker.h"
#include "lib/import/clawrden.h"
#include "lib/policy/json_schema.h"
#include "lib/policy/lint.h"
#include "lib/policy/show.h"
#include "lib/sys/file.h"

namespace cellrun::profile {
namespace {

using nlohmann::json;

constexpr int kDone = 0;
constexpr int kFindings = 1;
constexpr int kInvalid = 2;

struct Importer {
  const char* kind;
  policy::Checked<import::Imported> (*import)(const policy::Source& source);
};
constexpr std::array kImporters = {Importer{"clawrden", import::ImportClawrden},
                                   Importer{"clawker", import::ImportClawker}};

json ToJson(const policy::Position& at) {
  return {{"file", text::Escape(at.file)}, {"line", at.line}, {"column", at.column}};
}

// What a profile says of itself, "" if it is not valid: `profile lint` says why.
std::string Description(const std::string& name, const policy::Places& places) {
  auto loaded = Load(name, places);
  const auto* profile = std::get_if<policy::Profile>(&loaded);
  return profile == nullptr ? "(not valid)" : text::EscapeShort(profile->description, 120);
}

// Files that would be found by the name if nothing nearer had it.
std::vector<std::string> Shadowed(const launcher::KnownProfile& profile,
                                  const std::vector<std::string>& directories) {
  std::vector<std::string> hidden;
  for (const std::string& directory : directories) {
    const std::string path = directory + "/" + profile.name + ".yaml";
    std::error_code none;  // what cannot be looked at is not there for us either
    if (path != profile.origin && std::filesystem::is_regular_file(path, none)) {
      hidden.push_back(path);
    }
  }
  return hidden;
}

json ListAsJson(const policy::Places& places) {
  const std::vector<std::string> directories = launcher::ProfileDirectories();
  json rows = json::array();
  for (const launcher::KnownProfile& profile : launcher::ListProfiles()) {
    json shadowed = json::array();
    for (const std::string& path : Shadowed(profile, directories)) {
      shadowed.push_back(text::Escape(path));
    }
    rows.push_back({{"name", text::Escape(profile.name)},
                    {"file", text::Escape(profile.origin)},
                    {"description", Description(profile.name, places)},
                    {"shadows", shadowed}});
  }
  return rows;
}

std::string ListAsTable(const json& rows, bool headers) {
  std::vector<std::vector<std::string>> table = {{"NAME", "FILE", "DESCRIPTION"}};
  for (const json& row : rows) {
    std::string file = row["file"];
    if (!row["shadows"].empty()) {
      file += " (hides " + row["shadows"][0].get<std::string>() +
              (row["shadows"].size() > 1 ? ", …)" : ")");
    }
    table.push_back({row["name"], file, row["description"]});
  }
  return output::Table(table, headers);
}

int PrintText(const std::string& text, int status) {
  return output::Print(text) ? status : kFindings;
}

}  // namespace

int List(const std::string& output, bool headers) {
  auto places = FindPlaces();
  if (const auto* trouble = std::get_if<Trouble>(&places)) return PrintTrouble("", *trouble);
  const auto format = output::FormatFromName(output);
  if (format == output::Format::kName) {
    std::string names;
    for (const auto& profile : launcher::ListProfiles()) names += text::Escape(profile.name) + "\n";
    return PrintText(names, kDone);
  }
  const json rows = ListAsJson(std::get<policy::Places>(places));
  return PrintText(format == output::Format::kTable ? ListAsTable(rows, headers)
                                                    : output::Document(rows, format),
                   kDone);
}

int Show(const std::string& name, const std::string& output) {
  auto places = FindPlaces();
  if (const auto* trouble = std::get_if<Trouble>(&places)) return PrintTrouble(name, *trouble);
  auto loaded = Load(name, std::get<policy::Places>(places));
  if (const auto* trouble = std::get_if<Trouble>(&loaded)) return PrintTrouble(name, *trouble);
  const auto format = output::FormatFromName(output) == output::Format::kJson
                          ? policy::ShowFormat::kJson
                          : policy::ShowFormat::kText;
  return PrintText(policy::ShowProfile(std::get<policy::Profile>(loaded), format), kDone);
}

int Lint(const std::vector<std::string>& names, const std::string& output) {
  auto places = FindPlaces();
  if (const auto* trouble = std::get_if<Trouble>(&places)) return PrintTrouble("", *trouble);
  const policy::LintFacts facts{.places = std::get<policy::Places>(places), .lookup = LookUpFile};
  const auto format = output::FormatFromName(output);
  json rows = json::array();
  std::string text;
  int status = kDone;
  int invalid = kDone;
  for (const std::string& name : names) {
    auto loaded = Load(name, facts.places);
    if (const auto* trouble = std::get_if<Trouble>(&loaded)) {
      invalid = PrintTrouble(name, *trouble);
      continue;
    }
    const policy::Profile& profile = std::get<policy::Profile>(loaded);
    for (const policy::Finding& finding : policy::Lint(profile, facts)) {
      if (finding.severity >= policy::Severity::kWarning) status = kFindings;
      text += finding.ToString() + "\n";
      rows.push_back({{"profile", text::Escape(name)},
                      {"code", finding.code},
                      {"severity", policy::SeverityName(finding.severity)},
                      {"at", ToJson(finding.at)},
                      {"text", finding.text},
                      {"suggest", finding.suggest}});
    }
  }
  const bool table = format == output::Format::kTable;
  const int printed = PrintText(table ? text : output::Document(rows, format), status);
  return invalid != kDone ? invalid : printed;
}

int Test(const std::vector<std::string>& names, const std::string& output) {
  auto places = FindPlaces();
  if (const auto* trouble = std::get_if<Trouble>(&places)) return PrintTrouble("", *trouble);
  const policy::Places& here = std::get<policy::Places>(places);
  const auto format = output::FormatFromName(output);
  json rows = json::array();
  std::string text;
  std::size_t failed = 0;
  int invalid = kDone;
  for (const std::string& name : names) {
    auto loaded = Load(name, here);
    if (const auto* trouble = std::get_if<Trouble>(&loaded)) {
      invalid = PrintTrouble(name, *trouble);
      continue;
    }
    const auto& profile = std::get<policy::Profile>(loaded);
    const auto outcomes =
        policy::RunProfileTests(profile, here, LookUpProgram,
                                groups::ReadHostGroups(groups::Host{.home = here.home}, profile));
    if (!outcomes.ok()) {
      invalid = PrintTrouble(name, outcomes.problems());
      continue;
    }
    for (const policy::TestOutcome& outcome : outcomes.value()) {
      if (!outcome.passed) {
        ++failed;
        text += "FAILED  " + outcome.ToString() + "\n";
      }
      rows.push_back({{"profile", text::Escape(name)},
                      {"passed", outcome.passed},
                      {"at", ToJson(outcome.test.at)},
                      {"expected", policy::ActionName(outcome.test.expect)},
                      {"got", policy::ActionName(outcome.got)},
                      {"text", outcome.ToString()}});
    }
  }
  text += std::to_string(rows.size()) + " tests, " + std::to_string(failed) + " failed\n";
  if (invalid != kDone && rows.empty()) return invalid;
  const bool table = format == output::Format::kTable;
  const int printed =
      PrintText(table ? text : output::Document(rows, format), failed == 0 ? kDone : kFindings);
  return invalid != kDone ? invalid : printed;
}

int Schema() {
  return PrintText(policy::JsonSchema() + "\n", kDone);
}

int Import(const std::string& kind, const std::string& file) {
  const auto* importer = std::find_if(kImporters.begin(), kImporters.end(),
                                      [&](const Importer& known) { return kind == known.kind; });
  if (importer == kImporters.end()) {
    launcher::PrintError({"cannot import a policy of " + text::Quote(kind),
                          "there are: clawrden, clawker", "cellrun profile import clawrden FILE"});
    return kInvalid;
  }
  // A pipe (/dev/stdin, <(...)) is welcome here.
  const auto opened = sys::OpenAt(AT_FDCWD, file.c_str(), O_RDONLY);
  auto text = opened.ok() ? sys::ReadWholeFile(*opened, policy::kMaxProfileBytes + 1)
                          : Result<std::string>(opened.error());
  if (!text.ok()) {
    launcher::PrintError({"cannot read " + text::Quote(file), text.error().ToString(), ""});
    return kInvalid;
  }
  const auto imported = importer->import({"", file, *text, policy::Layer::kProfile});
  if (imported.ok()) {
    for (const std::string& note : imported.value().notes) launcher::PrintNote(note);
    return PrintText(imported.value().profile, kDone);
  }
  launcher::ErrorForm form{.what = "cannot import the policy " + text::Quote(file),
                           .cause = "",
                           .suggest = "cellrun help profile import"};
  for (const policy::Problem& problem : imported.problems()) {
    form.cause += (form.cause.empty() ? "" : "\n") + problem.ToString();
  }
  launcher::PrintError(form);
  return kInvalid;
}

}  // namespace cellrun::profile
