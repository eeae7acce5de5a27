// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "lib/wire/launch.h"
#include "lib/wire/strict_json.h"

// The cell plan as JSON. A plan has about a hundred mounts and is read once for every command, so
// members that have their default are left out.
namespace cellrun::wire {
namespace {

using nlohmann::json;

constexpr std::array kKindNames = {"directory", "file",   "symlink", "bind", "tmpfs",
                                   "proc",      "devpts", "cellrun", "mask", "pin"};
constexpr std::uint32_t kDefaultMode = 0755;
constexpr std::int64_t kMaxMilliseconds = std::int64_t{1000} * 60 * 60 * 24 * 366;

json StepToJson(const MountStep& step) {
  json out{{"kind", kKindNames.at(static_cast<std::size_t>(step.kind))},
           {"to", TextToJson(step.to)}};
  if (!step.from.empty()) out["from"] = TextToJson(step.from);
  if (!step.text.empty()) out["text"] = TextToJson(step.text);
  if (step.mode != kDefaultMode) out["mode"] = step.mode;
  if (step.bytes != 0) out["bytes"] = step.bytes;
  if (step.read_only) out["read_only"] = true;
  if (step.no_exec) out["no_exec"] = true;
  if (step.devices) out["devices"] = true;
  if (step.id_map) out["id_map"] = true;
  if (step.optional) out["optional"] = true;
  if (!step.purpose.empty() && step.purpose != step.to) out["purpose"] = TextToJson(step.purpose);
  return out;
}
void ReadStep(ObjectReader& reader, MountStep& step) {
  reader.Choice("kind", step.kind, kKindNames);
  reader.Text("to", step.to);
  reader.MaybeText("from", step.from);
  reader.MaybeText("text", step.text);
  reader.MaybeSmall("mode", step.mode, 0, 07777);
  reader.MaybeCount("bytes", step.bytes);
  reader.MaybeBool("read_only", step.read_only);
  reader.MaybeBool("no_exec", step.no_exec);
  reader.MaybeBool("devices", step.devices);
  reader.MaybeBool("id_map", step.id_map);
  reader.MaybeBool("optional", step.optional);
  step.purpose = step.to;
  reader.MaybeText("purpose", step.purpose);
  if (reader.ok() && !step.to.starts_with('/')) reader.Fail("to", "is not absolute");
}

json LandlockToJson(const std::vector<LandlockRule>& rules) {
  json array = json::array();
  for (const LandlockRule& rule : rules) {
    array.push_back(
        {{"path", TextToJson(rule.path)}, {"execute", rule.execute}, {"write", rule.write}});
  }
  return array;
}
json LimitsToJson(const std::vector<ResourceLimit>& limits) {
  json array = json::array();
  for (const ResourceLimit& limit : limits) {
    array.push_back({{"resource", limit.resource},
                     {"soft", limit.soft},
                     {"hard", limit.hard},
                     {"name", TextToJson(limit.name)}});
  }
  return array;
}
json TextsToJson(const std::vector<std::string>& texts) {
  json array = json::array();
  for (const std::string& text : texts) array.push_back(TextToJson(text));
  return array;
}

}  // namespace

std::string Encode(const CellPlan& plan) {
  json mounts = json::array();
  for (const MountStep& step : plan.mounts) mounts.push_back(StepToJson(step));
  return json{{"type", "plan"},
              {"id", TextToJson(plan.id)},
              {"name", TextToJson(plan.name)},
              {"profile", TextToJson(plan.profile)},
              {"hostname", TextToJson(plan.hostname)},
              {"inside_uid", plan.inside_uid},
              {"inside_gid", plan.inside_gid},
              {"host_uid", plan.host_uid},
              {"host_gid", plan.host_gid},
              {"mounts", std::move(mounts)},
              {"landlock", LandlockToJson(plan.landlock)},
              {"landlock_required", plan.landlock_required},
              {"limits", LimitsToJson(plan.limits)},
              {"layers", TextsToJson(plan.layers)},
              {"warnings", TextsToJson(plan.warnings)},
              {"inotify_instances", plan.inotify_instances},
              {"inotify_watches", plan.inotify_watches},
              {"time_limit_ms", plan.time_limit.count()}}
      .dump();
}

Result<CellPlan> DecodeCellPlan(const json& message) {
  CellPlan plan;
  std::int64_t time_limit_ms = 0;
  ObjectReader reader(message, "plan");
  reader.Type("plan");
  reader.Text("id", plan.id);
  reader.Text("name", plan.name);
  reader.Text("profile", plan.profile);
  reader.Text("hostname", plan.hostname);
  reader.Small("inside_uid", plan.inside_uid, 0, UINT32_MAX - 1);
  reader.Small("inside_gid", plan.inside_gid, 0, UINT32_MAX - 1);
  reader.Small("host_uid", plan.host_uid, 0, UINT32_MAX - 1);
  reader.Small("host_gid", plan.host_gid, 0, UINT32_MAX - 1);
  reader.Objects("mounts",
                 [&](ObjectReader& entry) { ReadStep(entry, plan.mounts.emplace_back()); });
  reader.Objects("landlock", [&](ObjectReader& entry) {
    LandlockRule& rule = plan.landlock.emplace_back();
    entry.Text("path", rule.path);
    entry.Bool("execute", rule.execute);
    entry.Bool("write", rule.write);
  });
  reader.Bool("landlock_required", plan.landlock_required);
  reader.Objects("limits", [&](ObjectReader& entry) {
    ResourceLimit& limit = plan.limits.emplace_back();
    entry.Small("resource", limit.resource, 0, 63);
    entry.Count("soft", limit.soft);
    entry.Count("hard", limit.hard);
    entry.Text("name", limit.name);
  });
  reader.Texts("layers", plan.layers);
  reader.Texts("warnings", plan.warnings);
  reader.Count("inotify_instances", plan.inotify_instances);
  reader.Count("inotify_watches", plan.inotify_watches);
  reader.Number("time_limit_ms", 0, kMaxMilliseconds, time_limit_ms);
  TRY(reader.Finish());
  plan.time_limit = std::chrono::milliseconds(time_limit_ms);
  return plan;
}

}  // namespace cellrun::wire
