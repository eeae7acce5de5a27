// SPDX-License-Identifier: Apache-2.0
#include "broker/http/why.h"

#include <array>
#include <cstdlib>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lib/explain/explanation.h"
#include "lib/groups/host_groups.h"
#include "lib/policy/load.h"
#include "lib/policy/policy.h"

namespace cellrun::http {
namespace {

using nlohmann::json;

std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::vector<std::string> Texts(const json& object, const char* name) {
  std::vector<std::string> list;
  const auto found = object.find(name);
  if (found == object.end() || !found->is_array()) return list;
  for (const json& item : *found) {
    if (item.is_string()) list.push_back(item.get<std::string>());
  }
  return list;
}

bool HasIndex(const json& record, const char* name, std::size_t index) {
  const auto found = record.find(name);
  if (found == record.end() || !found->is_array()) return false;
  for (const json& item : *found) {
    if (item.is_number_unsigned() && item.get<std::size_t>() == index) return true;
  }
  return false;
}

// Files are told apart by their canonical path here: what inode the cell had then is not recorded.
policy::FileId IdOf(const std::string& canonical) {
  return {.device = 1, .inode = std::hash<std::string>()(canonical)};
}

std::optional<policy::FileFacts> Lookup(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(realpath(path.c_str(), nullptr),
                                                         &std::free);
  if (!real) return std::nullopt;
  const std::string canonical = real.get();
  return policy::FileFacts{.id = IdOf(canonical), .canonical = canonical};
}

policy::ExecRequest RequestOf(const json& record) {
  policy::ExecRequest request;
  request.raw_path = Text(record, "path");
  std::vector<std::string> images = {Text(record, "exe")};
  for (std::string& interpreter : Texts(record, "chain")) images.push_back(std::move(interpreter));
  for (std::size_t i = 0; i < images.size(); ++i) {
    const bool script = HasIndex(record, "scripts", i);
    request.images.push_back(
        {.path = images[i],
         .id = IdOf(images[i]),
         .kind = script ? policy::ExecImage::Kind::kScript : policy::ExecImage::Kind::kBinary,
         .writable = HasIndex(record, "writable", i),
         .anonymous = HasIndex(record, "anonymous", i),
         .hash = i == 0 ? Text(record, "image_hash") : ""});
  }
  request.argv = Texts(record, "argv");
  request.cwd = Text(record, "cwd");
  request.parent = Text(record, "parent");
  request.uid = record.value("uid", 0U);
  request.user = Text(record, "user");
  request.tty = record.value("tty", false);
  return request;
}

policy::Layer LayerOf(const std::string& name) {
  constexpr std::array kLayers = {policy::Layer::kFloor,       policy::Layer::kRemembered,
                                  policy::Layer::kCommandLine, policy::Layer::kWorkspace,
                                  policy::Layer::kProfile,     policy::Layer::kInherited};
  for (const policy::Layer layer : kLayers) {
    if (name == policy::LayerName(layer)) return layer;
  }
  return policy::Layer::kProfile;
}

struct KeptProfile {
  std::vector<policy::Source> sources;
  policy::Places places;
  std::string problem;  // why there is none
};

Result<KeptProfile> ReadProfile(journal::Reader& reader, const json& record) {
  KeptProfile kept;
  const auto start = TRY(reader.CellStart(Text(record, "cell"), record.value("seq", 0ULL)));
  if (!start) {
    kept.problem = "the record of the cell's start is no longer in the journal";
    return kept;
  }
  const json detail = json::parse(start->json).value("detail", json::object());
  if (detail.contains("ghost_of")) {
    const std::uint64_t command = detail.value("exec", std::uint64_t{0});
    kept.problem =
        "it is of a ghost, which may do what the rule of its command names" +
        (command == 0 ? std::string() : ": that command is record " + std::to_string(command));
    return kept;
  }
  const json documents = detail.value("documents", json::object());
  kept.places = {.home = Text(documents, "home"), .workspace = Text(documents, "workspace")};
  for (const json& source : documents.value("sources", json::array())) {
    auto text = TRY(reader.Document(Text(source, "digest")));
    if (!text) {
      kept.problem = "the text of " + Text(source, "origin") + " is no longer in the journal";
      return kept;
    }
    kept.sources.push_back({.name = Text(source, "name"),
                            .origin = Text(source, "origin"),
                            .text = std::move(*text),
                            .layer = LayerOf(Text(source, "layer"))});
  }
  if (kept.sources.empty()) kept.problem = "the cell's start names no profile texts";
  return kept;
}

std::shared_ptr<const policy::Policy> Compile(const KeptProfile& kept, std::string& problem) {
  policy::Checked<policy::Profile> profile = policy::LoadProfile(kept.sources, kept.places);
  if (!profile.ok()) {
    problem = "the profile no longer loads: " + profile.problems()[0].ToString();
    return nullptr;
  }
  auto compiled = policy::Policy::Compile(std::move(profile.value()), kept.places, Lookup);
  if (!compiled.ok()) {
    problem = "the profile no longer compiles: " + compiled.problems()[0].ToString();
    return nullptr;
  }
  return compiled.value();
}

// Where judging again knows less than the judge did.
void NoteGaps(const json& record, const policy::Profile& profile, json& notes) {
  for (const policy::CommandRule& rule : profile.command_rules) {
    if (rule.when.env.empty()) continue;
    notes.push_back(
        "the environment is not recorded: env conditions were judged as if no variable "
        "were set");
    break;
  }
  if (record.value("redacted", false)) {
    notes.push_back("secrets were redacted from the arguments: conditions on them may differ");
  }
  if (record.contains("cut") || record.contains("escaped")) {
    notes.push_back(
        "the record holds the arguments or paths cut or escaped: conditions on them may differ");
  }
}

std::string RuleText(const json& object) {
  const json rule = object.value("rule", json::object());
  const std::string file = Text(rule, "file");
  std::string text = Text(object, "verdict");
  if (!file.empty()) text += " by " + file + ":" + std::to_string(rule.value("line", 0));
  return text;
}

void JudgeAgain(const json& record, const policy::Policy& policy, const policy::Places& places,
                json& answer) {
  const policy::ExecRequest request = RequestOf(record);
  const json again = explain::ToJson(explain::Explain(policy, request, places, Lookup));
  NoteGaps(record, policy.profile(), answer["notes"]);
  for (const char* name : {"trials", "change", "message", "suggest"}) {
    if (again.contains(name)) answer[name] = again[name];
  }
  // Under --observe the record holds what happened; what would have been is "observed".
  const std::string observed = Text(record, "observed");
  const std::string recorded = observed.empty() ? Text(record, "verdict") : observed;
  if (!observed.empty()) {
    answer["notes"].push_back("the cell ran with --observe: the verdict would have been " +
                              observed);
  }
  if (Text(again, "verdict") != recorded ||
      again.value("rule", json::object()).value("line", 0) !=
          record.value("rule", json::object()).value("line", 0)) {
    answer["notes"].push_back("judged again from the record alone it is " + RuleText(again) +
                              "; then it was " + RuleText(record));
  }
}

void JudgeConnectionAgain(const json& record, const policy::Profile& profile,
                          const policy::Places& places, json& answer) {
  const std::string name = Text(record, "name");
  const policy::Destination destination{
      .host = name.empty() ? Text(record, "to") : name,
      .port = record.value("port", std::uint16_t{0}),
      .protocol = Text(record, "proto") == "udp" ? policy::Protocol::kUdp : policy::Protocol::kTcp};
  const json again = explain::ToJson(explain::ExplainConnection(
      profile, destination, groups::ReadHostGroups(groups::Host{.home = places.home}, profile)));
  for (const char* part : {"trials", "change", "message"}) {
    if (again.contains(part)) answer[part] = again[part];
  }
  if (!groups::UsedGroups(profile).empty()) {
    answer["notes"].push_back("groups such as @npm were taken as this host has them now");
  }
  if (Text(again, "verdict") != Text(record, "verdict")) {
    answer["notes"].push_back("judged again from the record alone it is " + RuleText(again) +
                              "; then it was " + RuleText(record));
  }
}

}  // namespace

Result<std::optional<json>> ExplainRecord(journal::Reader& reader, std::uint64_t seq) {
  auto found = TRY(reader.Find(seq));
  if (!found) return std::optional<json>();
  json record = json::parse(found->json);
  if (record.contains("of")) {  // a follow-up: explain what it is about
    const auto about = TRY(reader.Find(record.value("of", 0ULL)));
    if (about) record = json::parse(about->json);
  }
  const auto follow_up = TRY(reader.FollowUp(record.value("seq", 0ULL)));
  json answer = {{"record", record},
                 {"verdict", Text(record, "verdict")},
                 {"strategy", record.value("strategy", "in-place")},
                 {"rule", record.value("rule", json::object())},
                 {"trials", json::array()},
                 {"notes", json::array()}};
  const auto start = TRY(reader.CellStart(Text(record, "cell"), record.value("seq", 0ULL)));
  if (start) answer["cell_name"] = Text(json::parse(start->json), "name");
  if (record.contains("reason")) answer["reason"] = record["reason"];
  if (follow_up) answer["result"] = json::parse(follow_up->json).value("result", "");
  const std::string kind = Text(record, "kind");
  if (kind != "exec" && kind != "ask" && kind != "connect") {
    return std::optional<json>(std::move(answer));
  }
  KeptProfile kept = TRY(ReadProfile(reader, record));
  std::shared_ptr<const policy::Policy> policy;
  if (kept.problem.empty()) policy = Compile(kept, kept.problem);
  if (policy == nullptr) {
    answer["notes"].push_back("which rules lost cannot be told: " + kept.problem);
  } else if (kind == "connect") {
    JudgeConnectionAgain(record, policy->profile(), kept.places, answer);
  } else {
    JudgeAgain(record, *policy, kept.places, answer);
  }
  return std::optional<json>(std::move(answer));
}

}  // namespace cellrun::http
