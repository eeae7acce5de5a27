// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/approvals/queue.h"
#include "broker/cells/cell_egress.h"
#include "broker/cells/cell_limits.h"
#include "broker/cells/cell_lookups.h"
#include "broker/cells/cell_wall.h"
#include "broker/cells/guards.h"
#include "broker/cells/inotify_hub.h"
#include "broker/cells/plan.h"
#include "broker/cells/runner.h"
#include "broker/cells/tool_directory.h"
#include "broker/exec/attachments.h"
#include "broker/exec/known_hashes.h"
#include "broker/journal/record.h"
#include "broker/loop/janitor.h"
#include "broker/loop/loop.h"
#include "broker/loop/pool.h"
#include "broker/net/inbound/inbound.h"
#include "broker/notify/supervisor.h"
#include "broker/rooms/cell_socket.h"
#include "broker/rooms/rooms.h"
#include "broker/rooms/shelf.h"
#include "lib/base/unique_fd.h"
#include "lib/policy/policy.h"
#include "lib/sys/socket.h"
#include "lib/wire/launch.h"

namespace cellrun::cells {

// What the broker's parts share. Everything outlives the cells.
struct Services {
  loop::Loop& loop;
  journal::Sink& journal;
  InotifyHub& inotify;
  loop::Janitor& janitor;
  Runner& runner;
  loop::Pool& pool;
  approvals::Queue& approvals;
  net::Engine& engine;
  net::ReachCell reach_cell;  // from any thread
  net::Wall& wall;
  std::string cgroup_notes;  // directory of where cgroups are
  std::shared_ptr<exec::KnownHashes> hashes;
  std::shared_ptr<exec::SharedPlaces> shared_places = nullptr;  // may be null
};

// One cell, from the plan to the proof that nothing of it is left. It owns the broker's end of
// init's control socket, the supervisor and the watch over protected names. Only on the loop's
// thread.
class Cell {
 public:
  struct Setup {
    wire::RunRequest request;  // without documents
    wire::CellPlan plan;
    std::shared_ptr<const policy::Policy> policy;
    // What that is made of, without what is remembered: it is made again when that changes.
    std::shared_ptr<const std::vector<policy::Source>> sources;
    Caller caller;
    SharedProtection protection;
    std::vector<std::string> environment;
    std::string documents;  // for the journal: which texts the profile is made of, as JSON
    ToolDirectory tools;
    CellWall wall;
    CellWall left_wall{};  // until init is known to be in the other one
    CellLimits limits{};
    pid_t launcher = 0;                     // of a ghost: of the cell that it works for
    std::vector<net::Published> published;  // until they are served
    std::vector<net::PortMapping> ports{};  // of these, from then on
    std::string ghost_of;    // id of the cell that it runs a command for; "" for one of a launcher
    std::uint64_t exec = 0;  // of a ghost: the number of that command's record
    bool keeps = false;      // it runs what Keep brings, and nothing of its own
    bool attended = false;   // somebody may be there to be asked, whatever its own streams are
  };
  struct Callbacks {
    std::function<void(UniqueFd master)> on_terminal;
    std::function<void(const wire::ExitReport& report)>
        on_end;                                // last call; the cell may be destroyed in it
    std::function<void()> on_ready = {};       // of a ghost: it is supervised, and Keep works
    std::function<void()> on_time_limit = {};  // before it is ended for that
  };
  // Watches what is masked and records the start; then the launcher may have the plan. ENOSPC: the
  // journal cannot keep the record, so nothing may run.
  static Result<std::unique_ptr<Cell>> Make(Services services, Setup setup, UniqueFd control,
                                            Callbacks callbacks);
  // Sends init its first orders, which wait in the socket until there is an init; while the
  // launcher builds. `streams` are the given ones in order.
  Result<void> Order(std::vector<UniqueFd> streams);
  ~Cell();
  Cell(const Cell&) = delete;
  Cell& operator=(const Cell&) = delete;

  // The launcher has made init. Layers that the kernel did not have are taken off the plan's; a
  // required one among them ends the cell.
  void Started(UniqueFd pidfd, const std::vector<std::string>& lost_layers);
  // The seccomp listener, however it came (control socket, listener.sock); the token proves that it
  // is this cell's. Once.
  [[nodiscard]] bool Expects(const std::string& token) const {
    return !adopted_ && token == token_;
  }
  Result<void> AdoptListener(const std::string& token, UniqueFd listener);
  void Signal(int signal);  // to the command's process group
  // Has init fork a keeper with this end of its socket (lib/wire/run.h).
  Result<void> Keep(UniqueFd keeper);
  // Where it reads copies of scripts that it cannot write; null as long as nothing is supervised.
  [[nodiscard]] rooms::Shelf* shelf() const { return shelf_.get(); }
  // What its processes may do once; null as long as nothing is supervised.
  [[nodiscard]] exec::Desk* desk() const;
  // A cell with the same workspace has started: what hides and protects names there also holds
  // here.
  void ShareGuards(const wire::CellPlan& other);
  // The ports that it publishes.
  [[nodiscard]] const std::vector<net::PortMapping>& ports() const { return setup_.ports; }
  // As net::Inbound::Join.
  void Join(std::uint16_t port, const std::string& who, net::Dial::Done done);
  // For commands from now on. `documents` as in Setup; recorded.
  void ReplacePolicy(std::shared_ptr<const policy::Policy> policy, std::string documents);
  // What its policy is made of from now on; ReplacePolicy follows.
  void ReplaceSources(std::shared_ptr<const std::vector<policy::Source>> sources) {
    setup_.sources = std::move(sources);
  }
  // It has printed more than it may: the same, and reported as such.
  void EndForOutput();
  // Kills everything in it. `why` is told to the launcher; "" when nobody is there to tell.
  void End(const std::string& why);

  // Without mounts and Landlock rules once the launcher has carried them out.
  [[nodiscard]] const wire::CellPlan& plan() const { return setup_.plan; }
  [[nodiscard]] const Setup& setup() const { return setup_; }
  // Changes with its policy.
  [[nodiscard]] std::uint64_t policy_generation() const { return policy_generation_; }
  // Somebody may be there to be asked: it was started from a terminal.
  [[nodiscard]] bool Attended() const;
  [[nodiscard]] std::chrono::system_clock::time_point created() const { return created_; }
  [[nodiscard]] pid_t init_pid() const { return init_pid_; }
  [[nodiscard]] std::vector<std::string> Layers() const;
  [[nodiscard]] const CellWall& wall() const { return setup_.wall; }

 private:
  Cell(Services services, Setup setup, UniqueFd control, Callbacks callbacks);
  notify::Supervisor::OnEnd EndIfUnheard();
  void OnControl();
  void OnMessage(sys::Message message);
  [[nodiscard]] std::size_t FdsOfABuiltCell() const;
  void OnExecFailed(int code, int step);
  void OnExited(int pid, int status);
  void AwaitInit();
  void StartSupervisor();
  void ListenInside(const notify::CellFacts& facts);
  void Deny(journal::Record record);
  Result<void> StartEgress();
  Result<void> StartLookups();
  Result<void> StartInbound();
  void OrderCellSockets(int family, int count);
  Result<void> OpenWall();
  void OnWallLost(const std::string& why);
  void OnGuard(const Guards::Event& event);
  void EndNested();
  void Finish();
  void CompleteReport();
  void Dismantle(CellNamespaces namespaces);
  bool Record(const char* result);

  Services services_;
  Setup setup_;
  UniqueFd control_;
  Callbacks callbacks_;
  const std::chrono::system_clock::time_point created_ = std::chrono::system_clock::now();

  UniqueFd init_, shim_, denials_, scripts_, broker_, listener_;
  // As in wire::kGatewayBuilt, and who owns it; until egress_ has them.
  std::vector<UniqueFd> gateway_;
  UniqueFd user_namespace_;
  UniqueFd network_witness_;  // a socket of its network namespace, until the wall has seen it
  const std::string token_;   // single use
  bool adopted_ = false;
  pid_t init_pid_ = 0;
  std::int32_t main_pid_ = 0;  // in the cell
  std::uint64_t policy_generation_ = 0;
  std::vector<int> early_signals_;
  std::vector<std::string> lost_layers_;
  bool ended_ = false;     // main has been reported, or End was called
  bool finished_ = false;  // nothing is left
  bool cut_ = false;       // End was called, or init has died
  wire::ExitReport report_;

  std::unique_ptr<notify::Supervisor> supervisor_;
  std::shared_ptr<rooms::Shelf> shelf_;
  net::Resolver::Sockets resolver_sockets_;  // of a cell without a gateway, until lookups_ has them
  std::unique_ptr<CellLookups> lookups_;
  std::map<std::string, std::uint64_t> looked_up_;  // once its resolver has gone
  // Of a cell with a gateway, once that is there. Goes before the supervisor, through which it
  // answers.
  std::unique_ptr<CellEgress> egress_;
  std::shared_ptr<net::Inbound> inbound_;  // of a cell that publishes ports
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<rooms::CellSocket> cell_socket_;
  std::unique_ptr<rooms::Rooms> rooms_;  // after what they use
  std::unique_ptr<Guards> guards_;
  std::unique_ptr<loop::Loop::Watch> control_watch_, init_watch_;
  std::unique_ptr<loop::Loop::Timer> time_limit_, answer_deadline_;
};

}  // namespace cellrun::cells
