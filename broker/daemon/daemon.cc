// SPDX-License-Identifier: Apache-2.0
#include "broker/daemon/daemon.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "broker/approvals/routes.h"
#include "broker/daemon/descriptors.h"
#include "broker/daemon/port_routes.h"
#include "broker/daemon/tool_routes.h"
#include "broker/peer/peer.h"
#include "lib/base/log.h"
#include "lib/base/text.h"
#include "lib/base/version.h"
#include "lib/sys/file.h"
#include "lib/sys/process.h"
#include "lib/sys/socket.h"
#include "lib/wire/launch.h"

namespace cellrun::daemon {
namespace {

constexpr std::size_t kMaxSessions = 1024;
constexpr std::chrono::seconds kTrimAfter{2};

std::string Rfc3339(std::chrono::system_clock::time_point time) {
  const time_t seconds = std::chrono::system_clock::to_time_t(time);
  tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by strftime
  const std::size_t length = strftime(&text[0], sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return std::string(&text[0], length);
}

nlohmann::json CellObject(const cells::Cell& cell) {
  const wire::CellPlan& plan = cell.plan();
  return {{"id", plan.id},
          {"name", plan.name},
          {"profile", text::Escape(plan.profile)},
          {"backend", "native"},
          {"state", cell.init_pid() == 0 ? "starting" : "running"},
          {"workspace", text::Escape(cell.setup().request.workspace)},
          {"created", Rfc3339(cell.created())},
          {"pid", cell.init_pid()},
          {"layers", cell.Layers()},
          {"user", cell.setup().caller.user},
          {"ports", PortsOf(cell)},
          {"cgroup", text::Escape(plan.cgroup)},
          {"wall", cell.wall().Counters()},
          {"ghost_of", cell.setup().ghost_of}};
}

// So many that none takes away the descriptors that another one needs to start and to be judged.
std::size_t MaxSessions() {
  const Result<rlimit64> files = sys::GetLimit(RLIMIT_NOFILE);
  const std::size_t each = kDescriptorsOfACell + (geteuid() == 0 ? kDescriptorsOfAWall : 0);
  if (!files.ok()) return 1;
  // Idle relays may have a quarter: net::Engine takes an eighth of the limit as their number.
  const std::uint64_t left = files->rlim_cur - files->rlim_cur / 4;
  if (left < kOwnDescriptors + each) return 1;
  return std::min<std::uint64_t>((left - kOwnDescriptors) / each, kMaxSessions);
}

}  // namespace

Result<std::unique_ptr<Daemon>> Daemon::Make(Instance instance, Options options) {
  std::unique_ptr<Daemon> daemon(new Daemon(std::move(instance), options));
  TRY(daemon->Start());
  return daemon;
}

Daemon::Daemon(Instance instance, Options options)
    : instance_(std::move(instance)), options_(options), max_sessions_(MaxSessions()) {}

Result<void> Daemon::Start() {
  TRY(WatchSignals());  // the journal starts the first thread
  journal_ = TRY(journal::Journal::Open(instance_.state_directory));
  veil_ = std::make_unique<run::Veil>(*journal_);
  cgroup_notes_ = instance_.runtime_directory + "/cgroups";
  wall_ = std::make_unique<net::Wall>(
      net::Wall::Services{.loop = loop_,
                          .janitor = janitor_,
                          .journal = *journal_,
                          .notes = geteuid() == 0 ? cgroup_notes_ : ""});
  wall_->Prepare();
  if (geteuid() != 0)
    janitor_.Do([notes = net::NotesIn(cgroup_notes_)] { net::RemoveLeft(notes); });
  approvals_ = TRY(approvals::Approvals::Open(loop_, *veil_, instance_.state_directory));
  FollowRules();
  inotify_ = TRY(cells::InotifyHub::Make(loop_));
  elsewhere_ = std::make_unique<run::Elsewhere>(
      run::Elsewhere::Broker{.loop = loop_,
                             .veil = *veil_,
                             .janitor = janitor_,
                             .registry = registry_,
                             .policies = policies_,
                             .services = [this] { return SharedServices(); }},
      [this] {
        if (stopping_) StopWhenEmpty();
      });
  cells::ToolDirectory::RemoveOld();
  TRY(instance_.Listen());
  records_ = http::Records::Make(*journal_);
  http::Router router;
  records_->Register(router);
  approval_routes_ = approvals::Routes::Make(loop_, *approvals_, *journal_);
  approval_routes_->Register(router);
  egress_routes_ = std::make_unique<egress::Routes>(egress::Routes::Broker{
      .loop = loop_, .registry = registry_, .refresh = *refresh_, .grants = grants_});
  egress_routes_->Register(router);
  refresh_->OnForget([this](const std::string& cell_id) { egress_routes_->ForgetCell(cell_id); });
  RegisterRoutes(router);
  api_ = TRY(http::Server::Start(loop_, TRY(sys::Duplicate(instance_.api)), std::move(router)));
  listeners_ = std::make_unique<cells::ListenerServer>(loop_, registry_,
                                                       TRY(sys::Duplicate(instance_.listener)));
  launchers_ = loop_.WatchReadable(instance_.launch, [this] { OnLauncher(); });
  ArmIdleTimer();
  return {};
}

void Daemon::Run() {
  loop_.Run();
  api_.reset();
  const Result<void> closed = journal_->Close();
  if (!closed.ok())
    log::Fail("the journal was not closed cleanly", {{"error", closed.error().ToString()}});
}

// Before any thread exists: they inherit the mask, so the signals come here only.
Result<void> Daemon::WatchSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  if (pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) return ErrnoError("pthread_sigmask");
  signals_ = UniqueFd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.valid()) return ErrnoError("signalfd");
  signal_watch_ = loop_.WatchReadable(signals_, [this] {
    char record[sizeof(
        signalfd_siginfo)];  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read
    if (sys::Read(signals_, record).ok()) Stop();
  });
  return {};
}

// What a person has remembered or taken back counts at once, also in the cells that run.
void Daemon::FollowRules() {
  refresh_ = std::make_unique<cells::PolicyRefresh>(
      loop_, registry_, policies_, *journal_,
      [this](const std::string& cell_id, const std::string& workspace) {
        std::vector<policy::Source> documents =
            approvals_->rules().DocumentsFor(cell_id, workspace);
        // What a person changes while the cell runs comes before what was remembered.
        if (std::optional<policy::Source> changes = grants_.DocumentFor(cell_id))
          documents.insert(documents.begin(), std::move(*changes));
        return documents;
      });
  tools_ = std::make_unique<cells::Tools>(*refresh_);
  approvals_->OnChanges([this] { TrimSoon(); });
  approvals_->OnRules([this](const approvals::Rule& rule) {
    refresh_->Refresh(rule.cell_id, [&rule](const cells::Cell& cell) {
      return approvals::Rules::Concerns(rule, cell.plan().id, cell.setup().request.workspace);
    });
  });
}

void Daemon::RegisterRoutes(http::Router& router) {
  router.Add("GET", "/v1/cells", [this](const http::Request&) { return Cells(); });
  RegisterToolRoutes(router, registry_, *tools_);
  RegisterPortRoutes(router, registry_);
  router.Add("GET", "/v1/status", [this](const http::Request&) { return Status(); });
  router.Add("POST", "/v1/stop", [this](const http::Request& request) { return OnStop(request); });
}

http::Response Daemon::Cells() const {
  nlohmann::json cells = nlohmann::json::array();
  for (const auto& [id, cell] : registry_.cells()) cells.push_back(CellObject(*cell));
  return {.status = 200, .body = cells.dump()};
}

http::Response Daemon::Status() const {
  const auto up = std::chrono::steady_clock::now() - started_;
  const nlohmann::json status = {
      {"pid", getpid()},
      {"version", &kVersion[0]},
      {"build", &kBuildId[0]},
      {"cells", registry_.cells().size()},
      {"uptime_seconds", std::chrono::duration_cast<std::chrono::seconds>(up).count()},
      {"stopping", stopping_},
      {"runtime_directory", text::Escape(instance_.runtime_directory)},
      {"journal",
       {{"path", text::Escape(journal_->path())},
        {"healthy", journal_->Healthy()},
        {"records", journal_->head().seq}}}};
  return {.status = 200, .body = status.dump()};
}

http::Response Daemon::OnStop(const http::Request& request) {
  if (const std::size_t cells = registry_.cells().size();
      cells != 0 && request.Query("force").value_or("") != "1") {
    return http::ErrorResponse(
        409, cells == 1 ? "a cell is running" : std::to_string(cells) + " cells are running",
        cells == 1 ? "it ends with the broker" : "they end with the broker",
        "cellrun broker stop --force");
  }
  // After the answer is on its way. A timer of its own: sessions that end meanwhile set the idle
  // one.
  stop_timer_ = loop_.After(std::chrono::milliseconds(20), [this] { Stop(); });
  return {.status = 202, .body = R"({"stopping":true})"};
}

cells::Services Daemon::SharedServices() {
  return {.loop = loop_,
          .journal = *veil_,
          .inotify = *inotify_,
          .janitor = janitor_,
          .runner = *elsewhere_,
          .pool = pool_,
          .approvals = *approvals_,
          .engine = engine_,
          .reach_cell =
              [this](const std::string& name, std::uint16_t port, const std::string& who,
                     net::Dial::Done done) {
                loop_.Post([this, name, port, who, done = std::move(done)]() mutable {
                  cells::Cell* cell = registry_.Named(name);
                  if (cell == nullptr) return done(Error(EHOSTUNREACH, "connect"));
                  cell->Join(port, who, std::move(done));
                });
              },
          .wall = *wall_,
          .cgroup_notes = cgroup_notes_,
          .hashes = hashes_,
          .shared_places = shared_places_};
}

void Daemon::OnLauncher() {
  Result<UniqueFd> socket = sys::Accept(instance_.launch, SOCK_NONBLOCK);
  if (!socket.ok()) {
    if (socket.error().code() == EMFILE || socket.error().code() == ENFILE) {
      // The connection stays in the backlog and the socket readable: give the descriptors time to
      // come back.
      log::Warn("no descriptor for a launcher", {{"error", socket.error().ToString()}});
      launchers_.reset();
      accept_again_ = loop_.After(std::chrono::milliseconds(50), [this] {
        launchers_ = loop_.WatchReadable(instance_.launch, [this] { OnLauncher(); });
      });
    }
    return;
  }
  const Result<peer::Peer> peer = peer::CheckPeer(*socket);
  if (!peer.ok()) return log::Warn("refused a launcher", {{"error", peer.error().ToString()}});
  if (sessions_.size() >= max_sessions_) return RefuseLauncher(*socket);
  idle_timer_.reset();
  const std::uint64_t id = next_session_++;
  sessions_[id] = std::make_unique<cells::LaunchSession>(
      cells::LaunchSession::Broker{.services = SharedServices(),
                                   .journal = *journal_,
                                   .registry = registry_,
                                   .policies = policies_,
                                   .refresh = *refresh_,
                                   .draining = [this] { return stopping_; },
                                   .leave = [this] { Stop(); }},
      std::move(*socket), *peer, [this, id] { OnSessionClosed(id); });
  trim_timer_.reset();  // once nobody starts anything more
  TrimSoon();
}

// What starting a cell took, and many asks, is free again: given back. And once more: the threads
// of a burst end a while after it, and what they held is free only then.
void Daemon::TrimSoon() {
  if (trim_timer_ != nullptr) return;
  trim_timer_ = loop_.After(kTrimAfter, [this] {
    trim_timer_.reset();
    const auto trim = [this] { janitor_.Do([] { malloc_trim(0); }); };
    trim();
    trim_again_ = loop_.After(kTrimAfter, trim);
  });
}

void Daemon::RefuseLauncher(const UniqueFd& socket) const {
  const std::string count = std::to_string(sessions_.size());
  const wire::Refusal refusal{
      .status = 125,
      .what = "the broker serves no more cells at once",
      .cause = count + " runs are there, and each needs descriptors (RLIMIT_NOFILE, ulimit -Hn)",
      .suggest = "wait for one to end; or raise the limit, and cellrun broker stop"};
  const Result<void> sent = sys::SendMessage(socket, wire::Encode(refusal), {});
  log::Warn("refused a launcher",
            {{"runs", count}, {"error", sent.ok() ? "" : sent.error().ToString()}});
}

void Daemon::OnSessionClosed(std::uint64_t id) {
  sessions_.erase(id);
  TrimSoon();
  if (stopping_) return StopWhenEmpty();
  if (sessions_.empty()) ArmIdleTimer();
}

void Daemon::ArmIdleTimer() {
  idle_timer_ = loop_.After(options_.idle, [this] {
    if (api_->connections() > 0) return ArmIdleTimer();
    log::Info("idle, leaving");
    Stop();
  });
}

void Daemon::Stop() {
  if (stopping_) return;
  stopping_ = true;
  // A launcher that comes now finds no socket and starts a broker of its own, which waits for the
  // lock.
  launchers_.reset();
  (void)sys::UnlinkAt(AT_FDCWD, (instance_.runtime_directory + "/launch.sock").c_str(), 0);
  std::vector<cells::Cell*> running;
  for (const auto& [id, cell] : registry_.cells()) running.push_back(cell);
  for (cells::Cell* cell : running) cell->End("the broker was stopped");
  StopWhenEmpty();
}

void Daemon::StopWhenEmpty() {
  if (!registry_.cells().empty()) return;
  for (const char* name : {"/api.sock", "/listener.sock"}) {
    (void)sys::UnlinkAt(AT_FDCWD, (instance_.runtime_directory + name).c_str(), 0);
  }
  loop_.Stop();
}

}  // namespace cellrun::daemon
