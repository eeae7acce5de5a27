// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/memory.h"
#include "lib/wire/launch.h"
#include "lib/wire/packing.h"

// A plan has about a hundred mounts and is read twice on the way to every command: as JSON that
// took a tenth of the whole start, so it is packed.
namespace cellrun::wire {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kHead = "{\"type\":\"plan\"}\0"sv;
constexpr std::int64_t kMaxMilliseconds = std::int64_t{1000} * 60 * 60 * 24 * 366;
constexpr std::size_t kUsualBytes = 16 * 1024;

template <typename Archive, typename Step>
void StepFields(Archive& archive, Step& step) {
  archive.Choice(step.kind, MountKind::kPin);
  archive.Text(step.to);
  archive.Text(step.from);
  archive.Text(step.text);
  archive.Number(step.mode);
  archive.Number(step.bytes);
  archive.Flag(step.read_only);
  archive.Flag(step.no_exec);
  archive.Flag(step.devices);
  archive.Flag(step.id_map);
  archive.Flag(step.optional);
  archive.Text(step.purpose);
}
template <typename Archive, typename Rule>
void RuleFields(Archive& archive, Rule& rule) {
  archive.Text(rule.path);
  archive.Flag(rule.execute);
  archive.Flag(rule.write);
}
template <typename Archive, typename Limit>
void LimitFields(Archive& archive, Limit& limit) {
  archive.Number(limit.resource);
  archive.Number(limit.soft);
  archive.Number(limit.hard);
  archive.Text(limit.name);
}

template <typename Archive, typename Plan>
void PlanFields(Archive& archive, Plan& plan, std::int64_t& time_limit_ms) {
  const auto text = [](Archive& to, auto& item) { to.Text(item); };
  archive.Text(plan.id);
  archive.Text(plan.name);
  archive.Text(plan.profile);
  archive.Text(plan.hostname);
  archive.Number(plan.inside_uid);
  archive.Number(plan.inside_gid);
  archive.Number(plan.host_uid);
  archive.Number(plan.host_gid);
  archive.List(plan.mounts, [](Archive& to, auto& step) { StepFields(to, step); });
  archive.List(plan.landlock, [](Archive& to, auto& rule) { RuleFields(to, rule); });
  archive.Flag(plan.landlock_required);
  archive.List(plan.limits, [](Archive& to, auto& limit) { LimitFields(to, limit); });
  archive.Number(plan.processors);
  archive.List(plan.layers, text);
  archive.List(plan.warnings, text);
  archive.Number(plan.inotify_instances);
  archive.Number(plan.inotify_watches);
  archive.Number(plan.namespaces);
  archive.Number(time_limit_ms);
  archive.Number(plan.output_bytes);
  archive.Flag(plan.gateway);
  archive.Text(plan.cgroup);
}

Result<void> Check(const CellPlan& plan, std::int64_t time_limit_ms) {
  constexpr std::uint32_t kNoId = UINT32_MAX;
  constexpr std::uint32_t kModeBits = 07777;
  for (const std::uint32_t id : {plan.inside_uid, plan.inside_gid, plan.host_uid, plan.host_gid}) {
    if (id == kNoId) return Error(EINVAL, "", "plan: an id is -1");
  }
  for (std::size_t i = 0; i < plan.mounts.size(); ++i) {
    const MountStep& step = plan.mounts[i];
    const std::string where = "plan.mounts[" + std::to_string(i) + "]";
    if (!step.to.starts_with('/')) return Error(EINVAL, "", where + ".to: is not absolute");
    if (step.mode > kModeBits) return Error(EINVAL, "", where + ".mode: is out of range");
  }
  if (time_limit_ms < 0 || time_limit_ms > kMaxMilliseconds)
    return Error(EINVAL, "", "plan.time_limit: is out of range");
  return {};
}

}  // namespace

std::string EncodePlan(const CellPlan& plan) {
  Packer packer;
  packer.Reserve(kUsualBytes);
  std::int64_t time_limit_ms = plan.time_limit.count();
  PlanFields(packer, plan, time_limit_ms);
  return std::string(kHead) + std::move(packer).Take();
}

bool IsPlan(std::string_view message) {
  return message.starts_with(kHead);
}

Result<CellPlan> DecodePlan(std::string_view message) {
  if (!IsPlan(message)) return Error(EINVAL, "", "plan: it is another message");
  CellPlan plan;
  std::int64_t time_limit_ms = 0;
  Unpacker unpacker(message.substr(kHead.size()));
  PlanFields(unpacker, plan, time_limit_ms);
  TRY(unpacker.Finish().With("plan"));
  TRY(Check(plan, time_limit_ms));
  plan.time_limit = std::chrono::milliseconds(time_limit_ms);
  return plan;
}

Result<void> SendPlan(const UniqueFd& socket, std::string_view plan, std::vector<int> fds) {
  if (plan.size() <= kMaxLaunchBytes) return sys::SendMessage(socket, plan, fds);
  if (plan.size() > kMaxPlanBytes) return Error(E2BIG, "", "plan: is too long");
  const UniqueFd memory = TRY(sys::MakeSealedMemfd("cellrun-plan", plan));
  fds.push_back(memory.get());
  return sys::SendMessage(socket, kHead, fds);
}

Result<CellPlan> TakePlan(const sys::Message& message) {
  if (message.fds.empty()) return DecodePlan(message.bytes);
  if (message.fds.size() != 1 || message.bytes != kHead)
    return Error(EINVAL, "", "plan: descriptors that do not belong to it");
  const sys::Mapping plan = TRY(sys::MapSealedMemfd(message.fds[0], kMaxPlanBytes));
  return DecodePlan(plan.text());
}

}  // namespace cellrun::wire
