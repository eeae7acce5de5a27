// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "broker/journal/record.h"
#include "broker/loop/janitor.h"
#include "broker/loop/loop.h"
#include "broker/net/wall/cgroup.h"
#include "broker/net/wall/programs.h"
#include "broker/net/wall/reach.h"
#include "broker/net/wall/strays.h"
#include "lib/base/result.h"

namespace cellrun::net {

// The second wall: programs in the kernel that refuse whatever a cell's sockets may not reach, even
// if the first one (its network namespace, and the broker's judgement) has a hole. Only a
// privileged broker has it. Only on the loop's thread; outlives its enclosures.
class Wall {
 public:
  struct Services {
    loop::Loop& loop;
    loop::Janitor& janitor;
    journal::Sink& journal;
    std::string notes;  // directory of where cgroups are; "" in a broker that can have none
  };
  explicit Wall(Services services);
  ~Wall();
  Wall(const Wall&) = delete;
  Wall& operator=(const Wall&) = delete;
  // Removes what a killed broker left, and loads the programs on a thread of its own, before
  // anybody waits for them. Does nothing without `notes`.
  void Prepare();

  // The hooks around one cgroup, for as long as this lives. The cgroup goes with it where the wall
  // made it, and so do processes that are still in it.
  class Enclosure {
   public:
    ~Enclosure();
    Enclosure(const Enclosure&) = delete;
    Enclosure& operator=(const Enclosure&) = delete;

    [[nodiscard]] const std::string& path() const { return cgroup_.path(); }
    [[nodiscard]] const UniqueFd& directory() const { return cgroup_.fd(); }
    [[nodiscard]] loop::Loop& loop() const { return wall_.services_.loop; }
    // Whose refusals these are.
    void BelongTo(const std::string& cell_id) { cell_id_ = cell_id; }
    // Everything is refused before; `witness` is a process that must be inside, now and for good.
    // EPERM: it is not.
    Result<void> Open(pid_t witness, const WallReach& reach);
    // The same for another reach, in one step.
    Result<void> Replace(const WallReach& reach);
    [[nodiscard]] const WallReach& reach() const { return reach_; }
    // `lost` is called once, from the loop, when a hook does not hold any more, within about a
    // second: what it guarded must end.
    void OnLoss(std::function<void(const std::string& why)> lost) { on_loss_ = std::move(lost); }
    // "" while all hooks hold and the witness is inside or has ended, with every process of its
    // pid namespace. One of those that is outside is told at the second look.
    [[nodiscard]] std::string Loss();
    [[nodiscard]] Programs::Tally tally() const;
    // Records what has been refused so far; what came too fast for a record each, as a number.
    void Settle();

   private:
    friend class Wall;
    Enclosure(Wall& wall, Cgroup cgroup, std::string cell_id)
        : wall_(wall), cgroup_(std::move(cgroup)), cell_id_(std::move(cell_id)) {}

    Wall& wall_;
    Cgroup cgroup_;
    std::string cell_id_;
    std::function<void(const std::string&)> on_loss_;
    std::vector<Programs::Hook> hooks_;
    WallReach reach_;
    pid_t witness_ = 0;
    Strays strays_;
    std::uint64_t settled_ = 0;
  };
  // In a new cgroup below `parent` (see CgroupOf), named after `name`: what limits that one limits
  // the cell as well. Whoever builds the cell in it may make sockets. The error's text says why
  // there can be none.
  Result<std::unique_ptr<Enclosure>> Enclose(const std::string& parent, const std::string& name);
  // Around a cgroup that exists, such as a container's.
  Result<std::unique_ptr<Enclosure>> EncloseExisting(const std::string& path,
                                                     const std::string& cell_id);

 private:
  Result<void> AwaitPrograms();
  Result<std::unique_ptr<Enclosure>> Around(Cgroup cgroup, const std::string& cell_id,
                                            bool building);
  void TakeRefusals();
  void LookAfter();
  void ArmWatch();

  Services services_;
  std::thread loading_;
  Result<std::unique_ptr<Programs>> programs_;
  std::map<std::uint64_t, Enclosure*> enclosures_;  // by the cgroup's id
  std::unique_ptr<loop::Loop::Watch> refusals_;
  std::unique_ptr<loop::Loop::Timer> watch_;
};

}  // namespace cellrun::net
