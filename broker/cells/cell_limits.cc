// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/cell_limits.h"

#include <fcntl.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "lib/base/log.h"
#include "lib/sys/file.h"
#include "lib/sys/random.h"

namespace cellrun::cells {
namespace {

using cgroup::Controller;

constexpr std::size_t kNameBytes = 6;
constexpr std::size_t kMaxFile = 64 * 1024;
constexpr std::uint64_t kPeriod = 100'000;  // microseconds, the kernel's own

Result<void> WriteIn(const std::string& directory, const char* name, const std::string& value) {
  const std::string path = directory + "/" + name;
  return sys::WriteExistingFile(path.c_str(), value).With(path);
}

std::string Quota(double cpus) {
  constexpr std::uint64_t kLeast = 1000;  // what the kernel takes
  const auto quota = static_cast<std::uint64_t>(std::llround(cpus * kPeriod));
  return std::to_string(std::max(quota, kLeast));
}

// What is limited, and what must be, though it is not.
cgroup::Controllers WantedBy(const policy::Profile& profile) {
  cgroup::Controllers wanted;
  if (profile.limits.memory_bytes) wanted.insert(Controller::kMemory);
  if (profile.limits.processes) wanted.insert(Controller::kPids);
  if (profile.limits.cpus) wanted.insert(Controller::kCpu);
  for (const auto& layer : profile.require) {
    for (const Controller controller : cgroup::kControllers) {
      if (layer.value == LayerName(controller)) wanted.insert(controller);
    }
  }
  return wanted;
}

// A parent that has less already refuses more: that one holds then.
Result<void> SetOldCpu(const std::string& directory, double cpus) {
  TRY(WriteIn(directory, "cpu.cfs_period_us", std::to_string(kPeriod)));
  const Result<void> set = WriteIn(directory, "cpu.cfs_quota_us", Quota(cpus));
  if (set.ok() || set.error().code() != EINVAL) return set;
  const std::string parent = directory.substr(0, directory.rfind('/'));
  const auto number = [&](const char* name) {
    const Result<std::string> text =
        sys::ReadWholeFileAt(AT_FDCWD, (parent + "/" + name).c_str(), kMaxFile);
    return text.ok() ? std::atof(text->c_str()) : 0;
  };
  const double quota = number("cpu.cfs_quota_us");
  const double period = number("cpu.cfs_period_us");
  if (quota > 0 && period > 0 && quota / period <= cpus) return {};
  return set;
}

bool IsIn(const std::string& groups, const std::string& path) {
  const std::string end = path.substr(path.rfind('/')) + "\n";
  return groups.find(end) != std::string::npos;
}

}  // namespace

class CellLimits::Maker {
 public:
  Maker(const Order& order, CellWall& wall, CellWall& left_wall)
      : order_(order), limits_(order.profile.limits), wall_(wall), left_wall_(left_wall) {}

  Result<CellLimits> Run() {
    const cgroup::Controllers wanted = WantedBy(order_.profile);
    if (wanted.empty()) return std::move(made_);
    made_.janitor_ = &order_.janitor;
    place_ = cgroup::FindPlace(order_.launcher, wanted);
    for (const auto& [controller, why] : place_.missing)
      made_.whole_.missing[LayerName(controller)] = why;
    if (!place_.parent.empty()) TRY(Unified());
    for (const auto& [controller, parent] : place_.old) TRY(Old(controller, parent));
    return std::move(made_);
  }

 private:
  Result<void> Unified() {
    TRY(cgroup::Prepare(place_));
    const std::string directory = TRY(UnifiedDirectory());
    if (place_.unified.contains(Controller::kMemory)) TRY(SetMemory(directory));
    if (place_.unified.contains(Controller::kPids)) TRY(SetPids(directory));
    if (place_.unified.contains(Controller::kCpu) && limits_.cpus) {
      TRY(WriteIn(directory, "cpu.max",
                  Quota(limits_.cpus->value) + " " + std::to_string(kPeriod)));
    }
    TRY(cgroup::CarryOver(place_.left, directory));
    made_.path_ = directory;
    for (const Controller controller : place_.unified)
      made_.whole_.layers.emplace_back(LayerName(controller));
    return {};
  }
  // A process is in one of version 2 only: the wall's, where there is one.
  Result<std::string> UnifiedDirectory() {
    if (wall_.cgroup().empty()) {
      made_.made_.push_back(
          TRY(net::Cgroup::MakeBelow(place_.parent, sys::RandomHex(kNameBytes), order_.notes)));
      return made_.made_.back().path();
    }
    if (wall_.cgroup().substr(0, wall_.cgroup().rfind('/')) != place_.parent) {
      left_wall_ = std::exchange(wall_, TRY(CellWall::Below(order_.wall, place_.parent)));
      made_.wall_ = wall_.cgroup();
      made_.wall_directory_ = TRY(sys::Duplicate(*wall_.directory()));
    }
    return wall_.cgroup();
  }

  Result<void> SetMemory(const std::string& directory) {
    if (!limits_.memory_bytes) return {};
    TRY(WriteIn(directory, "memory.max", std::to_string(limits_.memory_bytes->value)));
    // Not there: this kernel does not count swap.
    const Result<void> set = WriteIn(directory, "memory.swap.max", "0");
    return set.ok() || set.error().code() == ENOENT ? Result<void>() : set;
  }
  Result<void> SetPids(const std::string& directory) {
    if (!limits_.processes) return {};
    return WriteIn(directory, "pids.max", std::to_string(limits_.processes->value));
  }

  Result<void> Old(Controller controller, const std::string& parent) {
    made_.made_.push_back(
        TRY(net::Cgroup::MakeOldBelow(parent, sys::RandomHex(kNameBytes), order_.notes)));
    const std::string& directory = made_.made_.back().path();
    if (controller == Controller::kPids) TRY(SetPids(directory));
    if (controller == Controller::kCpu && limits_.cpus)
      TRY(SetOldCpu(directory, limits_.cpus->value));
    made_.whole_.layers.emplace_back(LayerName(controller));
    return {};
  }

  const Order& order_;
  const policy::Limits& limits_;
  CellWall& wall_;
  CellWall& left_wall_;
  cgroup::Place place_;
  CellLimits made_;
};

Result<CellLimits> CellLimits::Make(const Order& order, CellWall& cell_wall, CellWall& left_wall) {
  return Maker(order, cell_wall, left_wall).Run();
}

CellLimits& CellLimits::operator=(CellLimits&& other) noexcept {
  if (this == &other) return *this;
  Close();
  janitor_ = other.janitor_;
  made_ = std::move(other.made_);
  wall_ = std::move(other.wall_);
  wall_directory_ = std::move(other.wall_directory_);
  path_ = std::move(other.path_);
  whole_ = std::move(other.whole_);
  return *this;
}

std::vector<int> CellLimits::entered(Made init) const {
  std::vector<int> fds;
  for (const net::Cgroup& made : made_) fds.push_back(made.fd().get());
  if (wall_directory_.valid() && init == Made::kBefore) fds.push_back(wall_directory_.get());
  return fds;
}

Result<void> CellLimits::Confirm(pid_t init) {
  if (made_.empty() && wall_.empty()) return {};
  const std::string groups = TRY(cgroup::GroupsOf(init));
  for (net::Cgroup& made : made_) {
    if (!IsIn(groups, made.path())) return Error(EPERM, "", "it is not in " + made.path());
    made.Close();
  }
  if (!wall_.empty() && !IsIn(groups, wall_)) return Error(EPERM, "", "it is not in " + wall_);
  wall_directory_.Reset();
  return {};
}

std::uint64_t CellLimits::MemoryKills() const {
  if (path_.empty()) return 0;
  const Result<std::string> events =
      sys::ReadWholeFileAt(AT_FDCWD, (path_ + "/memory.events").c_str(), kMaxFile);
  constexpr std::string_view kKey = "\noom_kill ";
  const std::size_t at = events.ok() ? events->find(kKey) : std::string::npos;
  return at == std::string::npos ? 0 : std::strtoull(&(*events)[at + kKey.size()], nullptr, 10);
}

void CellLimits::Close() {
  wall_directory_.Reset();
  if (made_.empty()) return;
  janitor_->Do([made = std::make_shared<std::vector<net::Cgroup>>(std::exchange(made_, {}))] {
    for (net::Cgroup& cgroup : *made) {
      const Result<void> removed = cgroup.Remove();
      if (!removed.ok()) log::Warn("a cgroup is left", {{"error", removed.error().ToString()}});
    }
  });
}

}  // namespace cellrun::cells
