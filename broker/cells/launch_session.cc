// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/launch_session.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "broker/cells/caller.h"
#include "broker/cells/command_line.h"
#include "broker/cells/environment.h"
#include "broker/cells/ghost_limits.h"
#include "broker/journal/documents.h"
#include "lib/base/log.h"
#include "lib/base/text.h"
#include "lib/base/version.h"
#include "lib/groups/host_groups.h"
#include "lib/policy/network_policy.h"
#include "lib/policy/value_type.h"
#include "lib/sys/memory.h"
#include "lib/wire/floor.h"

namespace cellrun::cells {
namespace {

constexpr std::size_t kMaxDenialBytes = 64 * 1024;  // of an exit message; the journal has them all

wire::Refusal RefusalOf(const Error& error) {
  return {.status = 125, .what = error.ToString(), .cause = "", .suggest = ""};
}

bool IsAbsoluteAndPlain(const std::string& path) {
  return path.starts_with('/') && path.find('\0') == std::string::npos &&
         path.find("//") == std::string::npos && (path + "/").find("/../") == std::string::npos &&
         (path + "/").find("/./") == std::string::npos &&
         (path.size() == 1 || !path.ends_with('/'));
}

Result<void> CheckRequest(const wire::RunRequest& request) {
  const auto require = [](bool holds, const char* what) -> Result<void> {
    if (!holds) return Error(EINVAL, "", what);
    return {};
  };
  TRY(require(!request.argv.empty(), "argv: must not be empty"));
  TRY(require(IsAbsoluteAndPlain(request.workspace) && request.workspace.size() > 1,
              "workspace: must be an absolute path"));
  TRY(require(IsAbsoluteAndPlain(request.home) && request.home.size() > 1,
              "home: must be an absolute path"));
  TRY(require(IsAbsoluteAndPlain(request.working_directory),
              "working_directory: must be an absolute path"));
  for (const std::string& path : request.read)
    TRY(require(IsAbsoluteAndPlain(path), "read: must be absolute paths"));
  for (const std::string& path : request.write)
    TRY(require(IsAbsoluteAndPlain(path), "write: must be absolute paths"));
  for (const std::string& port : request.publish) {
    const policy::PublishedPort parsed = policy::PublishedValue(port);
    TRY(require(parsed.host != 0 && parsed.cell != 0,
                "publish: must be PORT, HOST:CELL or ADDRESS:HOST:CELL"));
  }
  return CheckNetwork(request);
}

// What a person might not expect.
std::vector<std::string> PortWarnings(const std::vector<net::Published>& published) {
  std::vector<std::string> warnings;
  for (const auto& [mapping, listener] : published) {
    const std::string port = "port " + std::to_string(mapping.inner);
    if (mapping.moved) warnings.push_back(port + " is published at " + mapping.OuterText());
    if (net::ReachOf(mapping.outer.address) != net::Reach::kLoopback)
      warnings.push_back(port + " is published at " + mapping.OuterText() +
                         ", where other machines may reach it");
  }
  return warnings;
}

}  // namespace

LaunchSession::LaunchSession(Broker broker, UniqueFd socket, const peer::Peer& peer,
                             std::function<void()> on_close)
    : broker_(broker),
      socket_(std::move(socket)),
      caller_(Identify(peer)),
      launcher_pid_(peer.pid),
      on_close_(std::move(on_close)),
      watch_(broker.services.loop.WatchReadable(socket_, [this] { OnReadable(); })) {}

LaunchSession::~LaunchSession() = default;

void LaunchSession::OnReadable() {
  Result<sys::Message> message = sys::ReceiveMessage(socket_, wire::kMaxLaunchBytes, MSG_DONTWAIT);
  if (!message.ok()) {
    if (message.error().code() == EAGAIN) return;
    return Close();
  }
  if (message->bytes.empty()) return Close();
  const Result<void> handled =
      message->truncated
          ? Result<void>(Error(EMSGSIZE, "", "message: too long, or too many descriptors"))
          : OnMessage(std::move(*message));
  if (!handled.ok()) Refuse(RefusalOf(handled.error()));
}

Result<void> LaunchSession::OnMessage(sys::Message message) {
  const nlohmann::json json = TRY(wire::ParseStrictJson(message.bytes));
  const std::string type = TRY(wire::MessageType(json));
  if (type == "hello" && state_ == State::kHello) return OnHello(json);
  if (type == "run" && state_ == State::kRun) return OnRun(json, std::move(message.fds));
  if (type == "documents" && state_ == State::kDocuments)
    return OnDocuments(json, std::move(message.fds));
  if (type == "started" && state_ == State::kPlanned)
    return OnStarted(json, std::move(message.fds));
  if (type == "streams" && state_ == State::kStreams) return OnStreams(std::move(message.fds));
  if (type == "signal" && state_ == State::kRunning) return OnSignal(json);
  if (type == "output-end" && state_ == State::kRunning) {
    cell_->EndForOutput();
    return {};
  }
  // The terminal is resized by whoever holds its master; the message is for a broker that holds it
  // (detached cells).
  if (type == "resize" && state_ == State::kRunning) return {};
  return Error(EPROTO, "", "type: '" + text::EscapeShort(type, 40) + "' was not expected here");
}

Result<void> LaunchSession::OnHello(const nlohmann::json& message) {
  const wire::Hello hello = TRY(wire::DecodeHello(message));
  const bool fits = hello.version == &kVersion[0] && hello.build == &kBuildId[0];
  // The cell is made in it: moving a process into a cgroup later takes 10 ms and more.
  if (fits && caller_.uid == 0) wall_ = CellWall::Beside(broker_.services.wall, launcher_pid_);
  Send(wire::Encode(wire::Hello{
           .version = &kVersion[0], .build = &kBuildId[0], .pid = static_cast<int>(getpid())}),
       wall_.directory());
  if (!fits) return GiveUpPlace(hello);
  state_ = State::kRun;
  return {};
}

// Messages of this conversation only mean something between the same build. Without cells there is
// nothing to keep: the place goes to the newcomer's broker, which waits for our lock.
Result<void> LaunchSession::GiveUpPlace(const wire::Hello& hello) {
  if (broker_.registry.live() == 0) {
    watch_.reset();
    Send(wire::EncodeDraining());
    broker_.services.loop.Post(broker_.leave);
    return {};
  }
  Refuse({.status = 125,
          .what = "this broker is cellrun " + std::string(&kVersion[0]) + " (" + &kBuildId[0] +
                  "), the launcher is " + text::EscapeShort(hello.version, 40) + " (" +
                  text::EscapeShort(hello.build, 40) + ")",
          .cause = "it has cells, which another broker cannot take over",
          .suggest = "wait for them, or end them: cellrun broker stop --force"});
  return {};
}

Result<void> LaunchSession::OnRun(const nlohmann::json& message, std::vector<UniqueFd> fds) {
  request_ = TRY(wire::DecodeRunRequest(message));
  const auto given = static_cast<std::size_t>(
      std::count(std::begin(request_.streams), std::end(request_.streams), wire::Stream::kGiven));
  if (fds.size() != 3 + given) {
    return Error(EINVAL, "",
                 "descriptors: control, strings, documents and " + std::to_string(given) +
                     " streams were expected, " + std::to_string(fds.size()) + " came");
  }
  control_ = std::move(fds[0]);
  TRY(wire::UnpackArguments(
          TRY(sys::MapSealedMemfd(fds[1], wire::kMaxStringsBytes).With("strings")).text(), request_)
          .With("strings"));
  TRY(CheckRequest(request_));
  for (std::size_t i = 3; i < fds.size(); ++i) streams_.push_back(std::move(fds[i]));
  if (broker_.draining()) {
    Refuse({.status = 125,
            .what = "the broker is stopping",
            .cause = "",
            .suggest = "run the command again"});
    return {};
  }
  std::vector<policy::Source> documents = std::move(request_.documents);
  request_.documents.clear();
  TRY(TakeDocuments(fds[2], std::move(documents)));
  return PlanOrAsk();
}

Result<void> LaunchSession::TakeDocuments(const UniqueFd& memory,
                                          std::vector<policy::Source> documents) {
  const sys::Mapping block =
      TRY(sys::MapSealedMemfd(memory, wire::kMaxDocumentsBytes).With("documents"));
  TRY(wire::UnpackDocuments(block.text(), documents).With("documents"));
  for (policy::Source& document : documents) {
    // The floor is read by the broker itself; nobody sends one.
    const bool allowed = document.layer == policy::Layer::kProfile ||
                         document.layer == policy::Layer::kInherited ||
                         document.layer == policy::Layer::kWorkspace;
    if (!allowed)
      return Error(EINVAL, "",
                   "documents: layer " + std::string(policy::LayerName(document.layer)));
    request_.documents.push_back(std::move(document));
  }
  return {};
}

Result<void> LaunchSession::OnDocuments(const nlohmann::json& message, std::vector<UniqueFd> fds) {
  if (fds.size() != 1) return Error(EINVAL, "", "descriptors: one was expected");
  TRY(TakeDocuments(fds[0], TRY(wire::DecodeDocuments(message))));
  return PlanOrAsk();
}

// In place of those that came with the request.
Result<void> LaunchSession::OnStreams(std::vector<UniqueFd> fds) {
  if (fds.size() != streams_.size())
    return Error(EINVAL, "", "descriptors: as many streams as before were expected");
  streams_ = std::move(fds);
  return MakePlan();
}

Result<void> LaunchSession::PlanOrAsk() {
  policy::Checked<std::vector<std::string>> missing = broker_.policies.Missing(request_.documents);
  if (!missing.ok()) {
    RefuseProblems(missing.problems());
    return {};
  }
  if (missing.value().empty()) return MakePlan();
  if (++rounds_ > policy::kMaxExtends) {
    return Error(ELOOP, "",
                 "more than " + std::to_string(policy::kMaxExtends) + " rounds of `extends`");
  }
  state_ = State::kDocuments;
  Send(wire::EncodeNeed(missing.value()));
  return {};
}

Result<void> LaunchSession::MakePlan() {
  const policy::Places places{.home = request_.home, .workspace = request_.workspace};
  PolicyStore::Sources own = TRY(wire::ReadFloor());
  own.insert(own.end(), request_.documents.begin(), request_.documents.end());
  if (std::optional<policy::Source> granted = CommandLineDocument(request_))
    own.push_back(*std::move(granted));
  const PolicyStore::Sources documents = broker_.refresh.SourcesFor("", request_.workspace, own);
  policy::Checked<std::shared_ptr<const policy::Policy>> policy =
      broker_.policies.Get(documents, places);
  if (!policy.ok()) {
    RefuseProblems(policy.problems());
    return {};
  }
  if (policy.value()->profile().limits.output_bytes && !std::exchange(relayed_, true)) {
    state_ = State::kStreams;
    Send(wire::EncodeRelay());
    return {};
  }
  const policy::Checked<policy::NetworkPolicy> network =
      groups::CompileNetwork(policy.value()->profile(), places.home);
  if (!network.ok()) {
    RefuseProblems(network.problems());
    return {};
  }
  if (!broker_.journal.Healthy()) {
    Refuse({.status = 125,
            .what = "the journal cannot be written, so nothing may run",
            .cause = broker_.journal.path(),
            .suggest = "free space on its file system"});
    return {};
  }

  identity_ = TRY(broker_.registry.Reserve(request_.name, caller_.uid == 0));
  Cell::Setup setup;
  setup.caller = caller_;
  setup.policy = policy.value();
  setup.sources = broker_.policies.Share(std::move(own));
  setup.protection =
      TRY(broker_.registry.ProtectionIn(request_.workspace, setup.policy->profile()));
  setup.documents = TRY(journal::KeepDocuments(broker_.journal, documents, places)).dump();
  if (RefuseWithoutWall(setup.policy->profile())) return {};
  setup.wall = std::move(wall_);
  setup.launcher = launcher_pid_;
  Result<CellLimits> limits = CellLimits::Make({.profile = setup.policy->profile(),
                                                .launcher = launcher_pid_,
                                                .wall = broker_.services.wall,
                                                .janitor = broker_.services.janitor,
                                                .notes = broker_.services.cgroup_notes},
                                               setup.wall, setup.left_wall);
  if (!limits.ok()) {
    RefuseLimits(limits.error().ToString());
    return {};
  }
  setup.limits = std::move(*limits);
  if (RefuseWithoutLimits(setup.policy->profile(), setup.limits.whole())) return {};
  Result<std::vector<net::Published>> published = PublishPorts(setup.policy->profile());
  if (!published.ok()) {
    RefusePort(published.error());
    return {};
  }
  setup.published = std::move(*published);
  setup.tools = TRY(ToolDirectory::Make(identity_->id, setup.policy->profile().tools));
  const PlanInput input{.profile = setup.policy->profile(),
                        .request = request_,
                        .caller = caller_,
                        .protection = *setup.protection,
                        .id = identity_->id,
                        .name = identity_->name,
                        .tools = setup.tools.path(),
                        .cell_uid = identity_->uid.value_or(caller_.uid),
                        .gateway = network.value().LetsAnythingOut(),
                        .cgroup = setup.wall.cgroup(),
                        .wall_missing = setup.wall.missing(),
                        .whole = setup.limits.whole()};
  setup.plan = TRY(BuildPlan(input));
  for (std::string& warning : GhostLimitWarnings(setup.policy->profile(), launcher_pid_))
    setup.plan.warnings.push_back(std::move(warning));
  for (std::string& warning : PortWarnings(setup.published))
    setup.plan.warnings.push_back(std::move(warning));
  setup.environment =
      CellEnvironment(setup.policy->profile(), request_, caller_.user_inside(), identity_->id);
  setup.request = std::move(request_);
  setup.request.documents.clear();
  const std::string plan = wire::EncodePlan(setup.plan);
  cell_ =
      TRY(Cell::Make(broker_.services, std::move(setup), std::move(control_),
                     {.on_terminal = [this](UniqueFd master) { OnTerminal(std::move(master)); },
                      .on_end = [this](const wire::ExitReport& report) { OnCellEnd(report); }}));
  for (const auto& [id, other] : broker_.registry.cells()) {
    if (other->setup().request.workspace == cell_->setup().request.workspace)
      other->ShareGuards(cell_->plan());
  }
  broker_.registry.Add(*cell_);
  broker_.refresh.Watch(*cell_);
  state_ = State::kPlanned;
  const std::vector<int> cgroups = cell_->setup().limits.entered(CellLimits::Made::kBefore);
  Result<void> sent =
      cgroups.empty() ? Result<void>() : sys::SendMessage(socket_, wire::EncodeCgroups(), cgroups);
  if (sent.ok()) sent = wire::SendPlan(socket_, plan);
  if (!sent.ok()) {
    log::Warn("launcher cannot be given its plan", {{"error", sent.error().ToString()}});
    Close();
    return {};
  }
  const Result<void> ordered = cell_->Order(std::move(streams_));
  if (!ordered.ok()) cell_->End(ordered.error().ToString());
  return {};
}

// What the profile publishes, and what the command line adds to it.
Result<std::vector<net::Published>> LaunchSession::PublishPorts(
    const policy::Profile& profile) const {
  std::vector<policy::Placed<policy::PublishedPort>> ports = profile.publish;
  for (const std::string& text : request_.publish)
    ports.push_back({.value = policy::PublishedValue(text), .at = {.file = "--publish"}});
  return net::Publish(ports);
}

void LaunchSession::RefusePort(const Error& error) {
  const auto& cells = broker_.registry.cells();
  const auto holder = std::find_if(cells.begin(), cells.end(), [&](const auto& entry) {
    const auto& ports = entry.second->ports();
    return std::any_of(ports.begin(), ports.end(), [&](const net::PortMapping& mapping) {
      return mapping.OuterText() == error.context();
    });
  });
  const bool used = error.code() == EADDRINUSE;
  std::string cause = ErrnoText(error.code());
  if (used && holder != cells.end())
    cause += ": the cell " + holder->second->plan().name + " has it";
  Refuse({.status = 125,
          .what = "the port " + error.context() + " of this host cannot be published",
          .cause = cause,
          .suggest = used ? "name the cell's port alone, and any other port of the host is taken: "
                            "publish: [PORT]"
                          : ""});
}

// Before anything is built; what the kernel lacks shows only then.
bool LaunchSession::RefuseWithoutWall(const policy::Profile& profile) {
  const auto required =
      std::find_if(profile.require.begin(), profile.require.end(),
                   [](const policy::Placed<std::string>& layer) { return layer.value == "ebpf"; });
  if (required == profile.require.end() || !wall_.cgroup().empty()) return false;
  const bool by_root = caller_.uid == 0;
  Refuse({.status = 125,
          .what = "the cell cannot start",
          .cause = "the profile requires ebpf (" + required->at.ToString() + "), which " +
                   (by_root ? "this host does not have: " + wall_.missing()
                            : "only cells that root runs have"),
          .suggest = by_root ? "cellrun doctor" : "run it as root, or take ebpf out of `require`"});
  return true;
}

void LaunchSession::RefuseLimits(const std::string& why) {
  Refuse({.status = 125,
          .what = "the cell cannot be limited as its profile says",
          .cause = why,
          .suggest = "cellrun doctor"});
}

bool LaunchSession::RefuseWithoutLimits(const policy::Profile& profile, const WholeLimits& whole) {
  const policy::Placed<std::string>* required = whole.Unmet(profile);
  if (required == nullptr) return false;
  Refuse({.status = 125,
          .what = "the cell cannot start",
          .cause = "the profile requires " + required->value + " (" + required->at.ToString() +
                   "), which it cannot have here: " + whole.missing.at(required->value),
          .suggest = "cellrun doctor"});
  return true;
}

Result<void> LaunchSession::OnStarted(const nlohmann::json& message, std::vector<UniqueFd> fds) {
  const wire::Started started = TRY(wire::DecodeStarted(message));
  if (fds.size() != 1) return Error(EINVAL, "", "descriptors: a pidfd was expected");
  state_ = State::kRunning;
  cell_->Started(std::move(fds[0]), started.lost_layers);
  return {};
}

Result<void> LaunchSession::OnSignal(const nlohmann::json& message) {
  cell_->Signal(TRY(wire::DecodeSignal(message)));
  return {};
}

void LaunchSession::OnTerminal(UniqueFd master) {
  Send(wire::EncodeTerminal(), &master);
}

void LaunchSession::OnCellEnd(const wire::ExitReport& report) {
  wire::ExitReport sent = report;
  std::size_t bytes = 0;
  const auto fits =
      std::find_if(sent.denials.begin(), sent.denials.end(), [&](const std::string& denial) {
        bytes += denial.size();
        return bytes > kMaxDenialBytes;
      });
  sent.denials.erase(fits, sent.denials.end());
  broker_.refresh.Forget(cell_->plan().id);
  broker_.registry.Remove(cell_->plan().id);
  // Whoever starts the next run when the launcher has heard of the end finds the place of this one
  // free.
  ReleaseIdentity();
  if (state_ != State::kClosed) Send(wire::Encode(sent));
  // The cell is calling: it goes with the session, after it has returned.
  broker_.services.loop.Post([this] {
    cell_.reset();
    Release();
    if (const auto on_close = std::exchange(on_close_, nullptr)) on_close();
  });
}

void LaunchSession::Refuse(const wire::Refusal& refusal) {
  if (state_ == State::kClosed) return;
  Send(wire::Encode(refusal));
  Close();
}

void LaunchSession::RefuseProblems(const std::vector<policy::Problem>& problems) {
  std::string what = "the profile " + text::Quote(request_.profile) + " cannot be used";
  std::string cause;
  for (const policy::Problem& problem : problems) {
    if (!cause.empty()) cause += "\n";
    cause += problem.ToString();
  }
  Refuse({.status = 125, .what = what, .cause = cause, .suggest = ""});
}

bool LaunchSession::Send(const std::string& text, const UniqueFd* fd) {
  const int number = fd != nullptr ? fd->get() : -1;
  const Result<void> sent = sys::SendMessage(
      socket_, text, fd != nullptr ? std::span(&number, 1) : std::span<const int>());
  if (!sent.ok()) log::Warn("launcher cannot be answered", {{"error", sent.error().ToString()}});
  return sent.ok();
}

void LaunchSession::Release() {
  watch_.reset();
  state_ = State::kClosed;
  ReleaseIdentity();
}

void LaunchSession::ReleaseIdentity() {
  if (identity_) broker_.registry.Release(*identity_);
  identity_.reset();
}

// The connection is over. A cell that still runs is ended first; the session goes when it has.
void LaunchSession::Close() {
  watch_.reset();
  if (cell_ != nullptr) {
    state_ = State::kClosed;
    cell_->End("the launcher is gone");
    return;
  }
  Release();
  if (on_close_) broker_.services.loop.Post(std::exchange(on_close_, nullptr));
}

}  // namespace cellrun::cells
