// SPDX-License-Identifier: Apache-2.0
#include "broker/net/wall/wall.h"

#include <utility>

#include "broker/net/wall/refusal.h"
#include "lib/base/log.h"

namespace cellrun::net {
namespace {

// A hook goes only by root's doing, and nothing tells of it: it is looked for. 9 system calls a
// cell each time.
constexpr std::chrono::milliseconds kLookEvery{1000};

}  // namespace

Wall::Wall(Services services)
    : services_(std::move(services)),
      programs_(Error(EPERM, "", "only a broker that root runs has it")) {}

Wall::~Wall() {
  if (loading_.joinable()) loading_.join();
}

void Wall::Prepare() {
  if (services_.notes.empty()) return;
  services_.janitor.Do([notes = NotesIn(services_.notes)] { RemoveLeft(notes); });
  loading_ = std::thread([this] { programs_ = Programs::Load(); });
}

Result<void> Wall::AwaitPrograms() {
  if (loading_.joinable()) {
    loading_.join();
    if (programs_.ok()) {
      refusals_ =
          services_.loop.WatchReadable((*programs_)->refusals(), [this] { TakeRefusals(); });
    }
  }
  return programs_.ok() ? Result<void>() : programs_.error();
}

Result<std::unique_ptr<Wall::Enclosure>> Wall::Enclose(const std::string& parent,
                                                       const std::string& name) {
  TRY(AwaitPrograms());
  return Around(TRY(Cgroup::MakeBelow(parent, name, services_.notes)), name, true);
}

Result<std::unique_ptr<Wall::Enclosure>> Wall::EncloseExisting(const std::string& path,
                                                               const std::string& cell_id) {
  TRY(AwaitPrograms());
  return Around(TRY(Cgroup::Open(path)), cell_id, false);
}

Result<std::unique_ptr<Wall::Enclosure>> Wall::Around(Cgroup cgroup, const std::string& cell_id,
                                                      bool building) {
  std::unique_ptr<Enclosure> made(new Enclosure(*this, std::move(cgroup), cell_id));
  // Before the hooks: its destructor undoes what there is.
  enclosures_[made->cgroup_.id()] = made.get();
  made->hooks_ = TRY((*programs_)->Attach(made->cgroup_.fd()));
  WallReach reach;
  reach.building = building;
  TRY(made->Replace(reach));
  if (watch_ == nullptr) ArmWatch();
  return made;
}

void Wall::TakeRefusals() {
  (*programs_)->TakeRefusals([this](const wall_refusal& refusal) {
    const auto found = enclosures_.find(refusal.cgroup);
    if (found == enclosures_.end()) return;  // it has gone meanwhile, and settled
    // It has been refused whether or not this is kept.
    (void)services_.journal.Append(RecordOf(found->second->cell_id_, refusal));
  });
}

void Wall::ArmWatch() {
  watch_ = services_.loop.After(kLookEvery, [this] { LookAfter(); });
}

void Wall::LookAfter() {
  std::vector<std::pair<std::uint64_t, std::string>> lost;
  for (const auto& [id, enclosure] : enclosures_) {
    enclosure->Settle();
    if (std::string why = enclosure->Loss(); !why.empty()) lost.emplace_back(id, std::move(why));
  }
  // Telling may take one of them away.
  for (const auto& [id, why] : lost) {
    const auto found = enclosures_.find(id);
    if (found == enclosures_.end()) continue;
    if (const auto tell = std::exchange(found->second->on_loss_, nullptr)) tell(why);
  }
  if (enclosures_.empty()) {
    watch_.reset();
  } else {
    ArmWatch();
  }
}

// ---- Enclosure

Wall::Enclosure::~Enclosure() {
  Settle();
  wall_.enclosures_.erase(cgroup_.id());
  // The hooks go after the last process. Both wait for the kernel.
  wall_.services_.janitor.Do(
      [hooks = std::make_shared<std::vector<Programs::Hook>>(std::move(hooks_)),
       cgroup = std::make_shared<Cgroup>(std::move(cgroup_))] {
        const Result<void> removed = cgroup->Remove();
        if (!removed.ok()) log::Warn("a cgroup is left", {{"error", removed.error().ToString()}});
        hooks->clear();
      });
}

Result<void> Wall::Enclosure::Open(pid_t witness, const WallReach& reach) {
  if (!cgroup_.Has(witness).value_or(false))
    return Error(EPERM, "", "a process is not in the cgroup made for it");
  if (reach.network == 0 || reach.network == reach.host)
    return Error(EPERM, "", "the network namespace is the host's");
  TRY(Replace(reach));
  witness_ = witness;
  strays_ = Strays::Of(witness);
  return {};
}

Result<void> Wall::Enclosure::Replace(const WallReach& reach) {
  wall_reach encoded;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by the call
  Encode(reach, cgroup_.id(), &encoded);
  TRY((*wall_.programs_)->SetReach(cgroup_.id(), encoded));
  reach_ = reach;
  return {};
}

std::string Wall::Enclosure::Loss() {
  for (const Programs::Hook& hook : hooks_) {
    if (std::string loss = Programs::LossOf(hook, cgroup_.id()); !loss.empty()) return loss;
  }
  if (witness_ != 0 && !cgroup_.Has(witness_).value_or(true))
    return "a process was moved out of its cgroup";
  return strays_.Look(cgroup_) ? "a process was moved out of its cgroup" : "";
}

Programs::Tally Wall::Enclosure::tally() const {
  return (*wall_.programs_)->TallyOf(cgroup_.id()).value_or({});
}

void Wall::Enclosure::Settle() {
  wall_.TakeRefusals();
  const std::uint64_t unrecorded = tally().unrecorded;
  if (unrecorded <= settled_) return;
  (void)wall_.services_.journal.Append(RecordOfMany(cell_id_, unrecorded - settled_));
  settled_ = unrecorded;
}

}  // namespace cellrun::net
