// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bpf/egress_wall.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::net {

// The programs of bpf/egress_wall.bpf.c in the kernel, and what they share with the broker. The one
// user of libbpf. Nothing is pinned: with this process all of it goes.
class Programs {
 public:
  // About 7 ms. EPERM: this process may not (an ordinary user, a container).
  static Result<std::unique_ptr<Programs>> Load();
  ~Programs();
  Programs(const Programs&) = delete;
  Programs& operator=(const Programs&) = delete;

  // One program at one hook of one cgroup, until it is destroyed.
  struct Hook {
    const char* name = "";
    UniqueFd link;
    std::uint32_t program = 0;  // its id
  };
  // All of them or none. From here on everything is refused there, until SetReach.
  [[nodiscard]] Result<std::vector<Hook>> Attach(const UniqueFd& cgroup) const;
  // "" as long as it is where it was attached; otherwise what has become of it.
  [[nodiscard]] static std::string LossOf(const Hook& hook, std::uint64_t cgroup_id);

  // One exchange of a pointer in the kernel: a program sees all of the old or all of the new.
  [[nodiscard]] Result<void> SetReach(std::uint64_t cgroup_id, const wall_reach& reach) const;
  struct Tally {
    std::uint64_t refused = 0;     // since it was attached
    std::uint64_t unrecorded = 0;  // those of them without a record
  };
  [[nodiscard]] Result<Tally> TallyOf(std::uint64_t cgroup_id) const;

  // Readable when there are refusals to be taken.
  [[nodiscard]] const UniqueFd& refusals() const { return refusals_; }
  void TakeRefusals(const std::function<void(const wall_refusal&)>& each) const;

 private:
  struct State;
  Programs();
  std::unique_ptr<State> state_;
  UniqueFd refusals_;
};

}  // namespace cellrun::net
