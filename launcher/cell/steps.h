// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/sys/socket.h"
#include "lib/wire/launch.h"

namespace cellrun::launcher {

// A mount source that was cloned before the plan came, with the attributes that plans give it.
struct EarlySource {
  const char* path = "";
  std::uint64_t attributes = 0;
  UniqueFd tree;
};

// What nearly every plan needs, mounted and detached while the broker makes the plan. What is not
// there (this kernel or container refuses it, or the child may not yet) is made when its turn
// comes, which then says why it cannot be.
struct Prepared {
  std::vector<EarlySource> sources;
  UniqueFd proc;       // writable, and hiding what is not the caller's
  UniqueFd terminals;  // devpts
  UniqueFd root;       // the tmpfs that the tree hangs in
  UniqueFd stage;      // the tmpfs with what cellrun puts into the cell (mounts.cc)
};

// What the cloned child has in its hands. The child is alone in its address space, so it may
// allocate.
struct ChildState {
  const UniqueFd& control;  // init's end
  const UniqueFd& shim;     // open for reading
  const UniqueFd& orders;
  const UniqueFd& report;
  bool by_root;
  uid_t launcher_uid;  // as the host sees it
  gid_t launcher_gid;

  // Made on the way.
  wire::CellPlan plan;
  // Detached trees of kBind steps, by the step's place in plan.mounts. Root: those with an id map
  // are made by the parent.
  std::vector<UniqueFd> trees;
  Prepared prepared;
  UniqueFd quotas;  // the host's /proc/sys/user
  UniqueFd cell_shim, denials, scripts, broker;
  std::vector<UniqueFd> resolver_sockets;  // without a gateway: UDP and TCP
  UniqueFd gateway;                        // its network namespace
  std::vector<UniqueFd> gateway_sockets;   // of that namespace, in the order of kGatewayBuilt
  std::size_t detail = 0;  // which mount, rule or limit a step is at, for its report
  mode_t umask = 022;
};

// What the parent sends beside the plan when root runs the cell: trees, each with its place in
// plan.mounts; the last one says that the id maps are written.
struct TreesOrder {
  std::uint32_t count = 0;
  std::uint32_t last = 0;
  std::uint32_t places[sys::kMaxMessageFds] = {};
};

// What a child reports. A failure is its last.
enum class ReportKind : std::int32_t { kFailure, kNote };
enum class Note : std::int32_t {
  kProcBound,       // no proc of its own could be mounted: the outer one is shown
  kProcNotHiding,   // hidepid is not known here
  kFileSkipped,     // `detail`: nothing could be made in a read-only directory
  kQuotasNotSet,    // /proc/sys/user could not be written
  kOomScoreNotSet,  // /proc/self/oom_score_adj could not be written
  kLandlockOff,     // this kernel has none
  kLowPortsClosed,  // ip_unprivileged_port_start of the gateway could not be written
};
struct Report {
  ReportKind kind = ReportKind::kFailure;
  std::int32_t number = 0;  // of the step, or the Note
  std::int32_t code = 0;    // errno
  std::int32_t detail = -1;
  char operation[40] = {};
};
void SendReport(const ChildState& child, const Report& report);
void SendNote(const ChildState& child, Note note, int code = 0);

struct Step {
  const char* name;
  Result<void> (*run)(ChildState&);
  // What `detail` counts, for the message.
  enum class Detail : std::uint8_t { kNone, kMount, kRule, kLimit } detail;
};
std::span<const Step> CellSteps();

// Walks the table; ends by becoming init, or by a report and _exit.
[[noreturn]] void RunSteps(ChildState& child);

// The steps, by file.
Result<void> ReceivePlan(ChildState& child);  // orders.cc
Result<void> ReceiveTrees(ChildState& child);
Result<void> OpenResolver(ChildState& child);  // network.cc
Result<void> JoinGateway(ChildState& child);
Result<void> PrepareSources(ChildState& child);  // sources.cc
Result<void> OpenSources(ChildState& child);
Result<void> PrepareProc(ChildState& child);
Result<void> PrepareTree(ChildState& child);  // mounts.cc
Result<void> EnterRoot(ChildState& child);
Result<void> RunMounts(ChildState& child);
Result<void> SealRoot(ChildState& child);
Result<void> MakeNamespaces(ChildState& child);  // identity.cc
Result<void> BecomeCaller(ChildState& child);
Result<void> BecomeCellUser(ChildState& child);
Result<void> UseHostProc(ChildState& child);
Result<void> LimitKernelObjects(ChildState& child);
Result<void> SetLimits(ChildState& child);
Result<void> DropRights(ChildState& child);
Result<void> ApplyLandlock(ChildState& child);  // confine.cc

}  // namespace cellrun::launcher
