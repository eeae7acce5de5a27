// SPDX-License-Identifier: Apache-2.0
#include "lib/cgroup/place.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>

#include "lib/sys/file.h"

namespace cellrun::cgroup {
namespace {

constexpr std::size_t kMaxFile = 1024 * 1024;

Result<std::string> ReadIn(const std::string& directory, const char* name) {
  return sys::ReadWholeFileAt(AT_FDCWD, (directory + "/" + name).c_str(), kMaxFile);
}

Controllers Named(const std::string& text) {
  Controllers named;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    for (const Controller controller : kControllers) {
      if (word == ControllerName(controller)) named.insert(controller);
    }
  }
  return named;
}

Controllers Both(const Controllers& one, const Controllers& other) {
  Controllers both;
  std::set_intersection(one.begin(), one.end(), other.begin(), other.end(),
                        std::inserter(both, both.end()));
  return both;
}
Controllers Less(const Controllers& one, const Controllers& other) {
  Controllers less;
  std::set_difference(one.begin(), one.end(), other.begin(), other.end(),
                      std::inserter(less, less.end()));
  return less;
}

// Processes may be moved into and within what is below it. "" or why not.
std::string Obstacle(const std::string& directory) {
  for (const std::string& path : {directory, directory + "/cgroup.procs"}) {
    if (access(path.c_str(), W_OK) != 0)
      return directory + " is not this user's to write: " + ErrnoText(errno);
  }
  return "";
}

bool HoldsProcesses(const std::string& directory) {
  const Result<std::string> processes = ReadIn(directory, "cgroup.procs");
  return !processes.ok() || !processes->empty();
}
// The host's own has no file of events, and may hold processes whatever is below it.
bool IsRoot(const std::string& directory) {
  return access((directory + "/cgroup.events").c_str(), F_OK) != 0;
}

class Search {
 public:
  Search(const Hierarchies& hierarchies, std::string_view groups, const Controllers& wanted)
      : hierarchies_(hierarchies), groups_(groups), wanted_(wanted) {}

  Place Run() {
    Unified();
    for (const Controller controller : Less(wanted_, place_.unified)) Old(controller);
    return std::move(place_);
  }

 private:
  struct Candidate {
    std::string directory;
    Controllers offered, disabled;
    bool vacate = false;
  };

  // The nearest that has most of what is wanted. Inside of the process's own cgroup everything that
  // limits it limits the cell; but as long as there are processes in that, it gives nothing on.
  void Unified() {
    const Result<Hierarchies::Found> own = hierarchies_.Unified(groups_);
    if (!own.ok()) {
      why_ = "cgroup v2: " + own.error().context();
      return;
    }
    const Result<std::string> all = ReadIn(own->mount, "cgroup.controllers");
    available_ = all.ok() ? Both(Named(*all), wanted_) : Controllers();
    if (available_.empty()) return;
    std::optional<Candidate> best;
    std::vector<std::string> passed, left;
    for (std::string at = own->directory; best == std::nullopt || best->offered != available_;
         at.resize(at.rfind('/'))) {
      if (std::string obstacle = Obstacle(at); !obstacle.empty()) {
        if (why_.empty()) why_ = std::move(obstacle);
        break;
      }
      const Candidate candidate = Look(at);
      if (!candidate.vacate && (!best || candidate.offered.size() > best->offered.size())) {
        best = candidate;
        left = passed;
      }
      passed.push_back(at);
      if (at == own->mount) break;
    }
    if (!passed.empty()) {
      Candidate inside = Look(own->directory);
      if (inside.vacate && (!best || best->offered.empty()) && !inside.offered.empty()) {
        best = std::move(inside);
        left.clear();
      }
    }
    if (!best || best->offered.empty()) return;
    place_.parent = best->directory;
    place_.unified = best->offered;
    place_.disabled = best->disabled;
    place_.vacate = best->vacate;
    place_.left = left;
  }

  [[nodiscard]] Candidate Look(const std::string& directory) const {
    Candidate seen{.directory = directory, .offered = {}, .disabled = {}};
    seen.offered = Both(Named(ReadIn(directory, "cgroup.controllers").value_or("")), wanted_);
    const Controllers enabled = Named(ReadIn(directory, "cgroup.subtree_control").value_or(""));
    seen.disabled = Less(seen.offered, enabled);
    if (seen.disabled.empty() || IsRoot(directory) || !HoldsProcesses(directory)) return seen;
    seen.vacate = true;
    return seen;
  }

  void Old(Controller controller) {
    const Result<Hierarchies::Found> own = hierarchies_.Old(controller, groups_);
    if (!own.ok()) {
      place_.missing[controller] = Reason(controller);
    } else if (access(own->directory.c_str(), W_OK) != 0) {
      place_.missing[controller] =
          own->directory + " is not this user's to write: " + ErrnoText(errno);
    } else {
      place_.old[controller] = own->directory;
    }
  }
  [[nodiscard]] std::string Reason(Controller controller) const {
    const std::string name = std::string("the controller ") + ControllerName(controller);
    if (!why_.empty()) return why_;
    if (!available_.contains(controller)) return "cgroup v2 does not have " + name + " here";
    return "no cgroup of this user's is given " + name;
  }

  const Hierarchies& hierarchies_;
  const std::string_view groups_;
  const Controllers& wanted_;
  Controllers available_;  // of those wanted, somewhere in version 2
  std::string why_;        // not in version 2
  Place place_;
};

// ---- Preparing.

Result<void> WriteIn(const std::string& directory, const char* name, std::string_view value) {
  const std::string path = directory + "/" + name;
  return sys::WriteExistingFile(path.c_str(), value).With(path);
}

Result<void> Vacate(const std::string& directory) {
  const std::string below = directory + "/" + &kVacatedName[0];
  const Result<void> made = sys::MkdirAt(AT_FDCWD, below.c_str(), 0755);
  if (!made.ok() && made.error().code() != EEXIST) return Error(made.error()).With(below);
  constexpr int kRounds = 20;  // they fork meanwhile
  for (int round = 0; round < kRounds; ++round) {
    const std::string processes = TRY(ReadIn(directory, "cgroup.procs"));
    if (processes.empty()) return {};
    std::istringstream lines(processes);
    for (std::string pid; std::getline(lines, pid);) {
      const Result<void> moved = WriteIn(below, "cgroup.procs", pid);
      if (!moved.ok() && moved.error().code() != ESRCH) return moved;
    }
  }
  return Error(EBUSY, "", directory + " does not become empty");
}

// ---- Limits that would be left.

// "max" is the largest.
double Amount(const std::string& text) {
  std::istringstream words(text);
  std::string amount;
  double period = 1;
  words >> amount >> period;  // cpu.max: of a period
  double value = 0;
  const auto [end, code] = std::from_chars(amount.data(), amount.data() + amount.size(), value);
  constexpr double kNone = 1e300;
  return code != std::errc() || end != amount.data() + amount.size() ? kNone : value / period;
}

}  // namespace

Place FindPlace(const Hierarchies& hierarchies, std::string_view groups,
                const Controllers& wanted) {
  return Search(hierarchies, groups, wanted).Run();
}

Place FindPlace(pid_t process, const Controllers& wanted) {
  const Result<Hierarchies> hierarchies = Hierarchies::Read();
  const Result<std::string> groups = GroupsOf(process);
  if (hierarchies.ok() && groups.ok()) return FindPlace(*hierarchies, *groups, wanted);
  Place nowhere;
  const std::string why =
      hierarchies.ok() ? groups.error().ToString() : hierarchies.error().ToString();
  for (const Controller controller : wanted) nowhere.missing[controller] = why;
  return nowhere;
}

Result<void> Prepare(const Place& place) {
  if (place.disabled.empty()) return {};
  if (place.vacate) TRY(Vacate(place.parent));
  std::string order;
  for (const Controller controller : place.disabled)
    order += (order.empty() ? "+" : " +") + std::string(ControllerName(controller));
  return WriteIn(place.parent, "cgroup.subtree_control", order);
}

Result<void> CarryOver(const std::vector<std::string>& left, const std::string& directory) {
  for (const char* name : {"memory.max", "memory.high", "memory.swap.max", "pids.max", "cpu.max"}) {
    for (const std::string& outer : left) {
      const std::string given = ReadIn(outer, name).value_or("max");
      const double amount = Amount(given);
      if (amount < Amount(ReadIn(directory, name).value_or("max")))
        TRY(WriteIn(directory, name, given.substr(0, given.find('\n'))));
    }
  }
  return {};
}

}  // namespace cellrun::cgroup
