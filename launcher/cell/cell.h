// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "launcher/client/error_form.h"
#include "lib/base/unique_fd.h"
#include "lib/sys/process.h"
#include "lib/wire/launch.h"

namespace cellrun::launcher {

template <typename T>
using Outcome = std::variant<T, ErrorForm>;

// A cell whose first process exists and walks the step table (steps.cc). Destroying it kills the
// cell.
struct StartedCell {
  sys::ChildProcess init;
  UniqueFd orders;  // what the child waits for: the plan, and from root the mapped trees
  UniqueFd report;  // what the child says until it has become init
};

// Why no cell can be started here whatever the plan says (Yama 3, a filter around this process);
// nothing if there is no such reason.
std::vector<ErrorForm> FindObstacles();

// Layers of the plan that this kernel does not have.
std::vector<std::string> FindLostLayers(const wire::CellPlan& plan);

// Makes the child in namespaces of its own, which does what it can without a plan: the broker can
// make that meanwhile. `control` is init's end of the control socket, `shim` the program that
// becomes init, open for reading. `cgroup`: the directory of the one that it is made in; not valid
// for the caller's own. The calling process must be single-threaded.
Outcome<StartedCell> StartCell(const UniqueFd& control, const UniqueFd& shim,
                               const UniqueFd& cgroup = UniqueFd());

// Before the plan is given: puts the child into these cgroups, whose directories they are.
std::optional<ErrorForm> EnterCgroups(const StartedCell& cell,
                                      const std::vector<UniqueFd>& directories);
// Sends the plan to the child, as it came; it reads it by itself.
Result<void> ForwardPlan(const StartedCell& cell, const sys::Message& plan);

// What only the parent can do for the same plan, afterwards: the id maps and mapped trees of a cell
// that root runs, whose user is then plan.host_uid, never root.
std::optional<ErrorForm> GivePlan(StartedCell& cell, const wire::CellPlan& plan);

// Waits until the child has become init; what a person should know about how it went (a step that
// had to be done another way). On failure the child has ended. `await` is called before each read
// of the child's report, which may block.
Outcome<std::vector<std::string>> FinishCell(
    const wire::CellPlan& plan, StartedCell& cell, const std::function<void()>& await = [] {});

}  // namespace cellrun::launcher
