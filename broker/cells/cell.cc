// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/cell.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <iterator>

#include "broker/cells/cell_record.h"
#include "broker/cells/handover.h"
#include "broker/cells/init_orders.h"
#include "broker/cells/nested_tasks.h"
#include "lib/base/text.h"
#include "lib/sys/file.h"
#include "lib/sys/process.h"
#include "lib/sys/random.h"
#include "lib/wire/control.h"

namespace cellrun::cells {
namespace {

constexpr std::size_t kMaxControlBytes = 16 * 1024;

// The pid behind a pidfd, in our own pid namespace, from the kernel rather than from whoever sent
// it. 0: none.
pid_t PidOf(const UniqueFd& pidfd) {
  const Result<std::string> info = sys::ReadWholeFileAt(
      AT_FDCWD, ("/proc/self/fdinfo/" + std::to_string(pidfd.get())).c_str(), 4096);
  if (!info.ok()) return 0;
  const std::size_t at = info->find("\nPid:");
  if (at == std::string::npos) return 0;
  const char* number = info->c_str() + info->find_first_not_of(" \t", at + 5);
  pid_t pid = 0;
  std::from_chars(number, info->c_str() + info->size(), pid);
  return std::max(pid, 0);
}

}  // namespace

Result<std::unique_ptr<Cell>> Cell::Make(Services services, Setup setup, UniqueFd control,
                                         Callbacks callbacks) {
  std::unique_ptr<Cell> cell(
      new Cell(services, std::move(setup), std::move(control), std::move(callbacks)));
  TRY(sys::SetNonBlocking(cell->control_, true));
  cell->guards_ = TRY(Guards::Start(
      services.loop, services.inotify, cell->setup_.request.workspace, cell->setup_.plan,
      {.on_event = [made = cell.get()](const Guards::Event& event) { made->OnGuard(event); },
       .on_failure = [made = cell.get()](const std::string& why) { made->End(why); }}));
  if (!cell->Record("started"))
    return Error(ENOSPC, "", "the journal cannot keep the start of the cell");
  return cell;
}

Result<void> Cell::Order(std::vector<UniqueFd> streams) {
  TRY(guards_->WatchForNew(std::exchange(setup_.protection, Protection())));
  TRY(OrderFilter(control_, setup_.policy->profile(), setup_.plan, token_));
  if (!setup_.keeps) TRY(OrderCommand(control_, setup_.request, setup_.environment, streams));
  control_watch_ = services_.loop.WatchReadable(control_, [this] { OnControl(); });
  return {};
}

Cell::Cell(Services services, Setup setup, UniqueFd control, Callbacks callbacks)
    : services_(services),
      setup_(std::move(setup)),
      control_(std::move(control)),
      callbacks_(std::move(callbacks)),
      token_(sys::RandomHex(16)) {
  for (const net::Published& published : setup_.published)
    setup_.ports.push_back(published.mapping);
}

Cell::~Cell() {
  if (inbound_ != nullptr) inbound_->Stop();
  if (init_.valid()) (void)sys::PidfdSendSignal(init_, SIGKILL);  // ESRCH: it has ended
}

void Cell::Started(UniqueFd pidfd, const std::vector<std::string>& lost_layers) {
  init_ = std::move(pidfd);
  init_pid_ = PidOf(init_);
  lost_layers_ = lost_layers;
  // The tree is built, and what guards it has its own copy: a hundred steps need not be kept for as
  // long as the cell lives.
  for (wire::MountStep& step : setup_.plan.mounts) {
    // A secret's file is one of them.
    if (step.kind == wire::MountKind::kFile) explicit_bzero(step.text.data(), step.text.size());
  }
  std::exchange(setup_.plan.mounts, std::vector<wire::MountStep>()).clear();
  std::exchange(setup_.plan.landlock, std::vector<wire::LandlockRule>()).clear();
  init_watch_ = services_.loop.WatchReadable(init_, [this] { Finish(); });
  if (init_pid_ == 0) return End("init could not be looked at");
  const std::vector<std::string> layers = Layers();
  for (const auto& required : setup_.policy->profile().require) {
    if (std::find(layers.begin(), layers.end(), required.value) == layers.end()) {
      return End("the profile requires " + required.value + " (" + required.at.ToString() +
                 "), which this host does not have");
    }
  }
  if (setup_.plan.time_limit.count() > 0) {
    time_limit_ = services_.loop.After(setup_.plan.time_limit, [this] {
      report_.timed_out = true;
      if (callbacks_.on_time_limit) callbacks_.on_time_limit();
      End("");
    });
  }
  AwaitInit();
  StartSupervisor();
}

// Every order to init has a deadline (hardening 11): a deaf init is killed, whatever made it deaf.
void Cell::AwaitInit() {
  constexpr std::chrono::seconds kAnswer{10};
  answer_deadline_ = services_.loop.After(kAnswer, [this] {
    const bool answered = setup_.keeps ? supervisor_ != nullptr : main_pid_ != 0;
    if (!answered) End("init did not start the command within 10 s");
  });
}

std::vector<std::string> Cell::Layers() const {
  std::vector<std::string> layers;
  for (const std::string& layer : setup_.plan.layers) {
    if (std::find(lost_layers_.begin(), lost_layers_.end(), layer) == lost_layers_.end())
      layers.push_back(layer);
  }
  return layers;
}

void Cell::OnControl() {
  for (;;) {
    Result<sys::Message> message = sys::ReceiveMessage(control_, kMaxControlBytes, MSG_DONTWAIT);
    if (!message.ok()) {
      if (message.error().code() == EAGAIN || finished_) return;
      return End("control socket: " + message.error().ToString());
    }
    if (message->bytes.empty()) {
      control_watch_.reset();
      // Every holder of init's end is gone. Where the launcher never got as far as init, nothing
      // else will say so.
      if (!init_.valid()) Finish();
      return;
    }
    OnMessage(std::move(*message));
    if (control_watch_ == nullptr && !finished_) return;
  }
}

void Cell::OnMessage(sys::Message message) {
  wire::ControlHeader header{};
  if (message.truncated || message.bytes.size() < sizeof header)
    return End("init sent a broken message");
  memcpy(&header, message.bytes.data(), sizeof header);
  const std::string payload = message.bytes.substr(sizeof header);
  if (header.payload_bytes != payload.size()) return End("init sent a broken message");
  switch (header.type) {
    case wire::kGatewayBuilt:
      if (!setup_.plan.gateway || !gateway_.empty() || egress_ != nullptr || message.fds.empty())
        return End("init sent a broken message");
      gateway_ = std::move(message.fds);
      return;
    case wire::kCellBuilt:
      if (message.fds.size() != (setup_.plan.cgroup.empty() ? 6 : 7) || shim_.valid())
        return End("init sent a broken message");
      if (!setup_.plan.cgroup.empty()) network_witness_ = std::move(message.fds[6]);
      shim_ = std::move(message.fds[0]);
      denials_ = std::move(message.fds[1]);
      scripts_ = std::move(message.fds[4]);
      broker_ = std::move(message.fds[5]);
      if (setup_.plan.gateway) {
        Result<UniqueFd> user = sys::Duplicate(message.fds[2]);
        if (!user.ok()) return End("gateway: " + user.error().ToString());
        user_namespace_ = std::move(*user);
      }
      guards_->Enter({.user = std::move(message.fds[2]), .mount = std::move(message.fds[3])});
      return StartSupervisor();
    case wire::kListener: {
      Result<Handover> handover = DecodeHandover(payload, std::move(message.fds));
      const Result<void> adopted =
          handover.ok() ? AdoptListener(handover->token, std::move(handover->listener))
                        : Result<void>(handover.error());
      if (!adopted.ok()) End("listener: " + adopted.error().ToString());
      return;
    }
    case wire::kSpawned:
      if (header.id == kMainOrder) main_pid_ = header.a;
      for (const int signal : std::exchange(early_signals_, {})) Signal(signal);
      answer_deadline_.reset();
      report_.started = true;
      return;
    case wire::kTerminal:
      if (message.fds.size() == 1) callbacks_.on_terminal(std::move(message.fds[0]));
      return;
    case wire::kExecFailed:
      if (header.id == kMainOrder) OnExecFailed(header.b, header.c);
      return;
    case wire::kExited:
      if (header.id == kMainOrder) OnExited(header.a, header.b);
      return;
    case wire::kStopped:
      return;
    case wire::kSocket: {
      if (inbound_ == nullptr || message.fds.size() > 1) return End("init sent a broken message");
      const bool made = message.fds.size() == 1;
      return inbound_->Give(header.b, made ? Result<UniqueFd>(std::move(message.fds[0]))
                                           : Error(header.a != 0 ? header.a : EPROTO, "socket"));
    }
    case wire::kInitFailed:
      return End("init: " + text::EscapeShort(payload, 200) + ": " + ErrnoText(header.a));
    default:
      return End("init sent a message of unknown type");
  }
}

void Cell::OnExecFailed(int code, int step) {
  constexpr const char* kSteps[] = {"",    "working directory ", "streams", "terminal", "limits",
                                    "fork"};
  if (step == wire::kStepExec) {
    report_.exec_error = code;
    return;
  }
  const bool known = step > 0 && static_cast<std::size_t>(step) < std::size(kSteps);
  const std::string where =
      step == wire::kStepWorkingDirectory ? text::Escape(setup_.request.working_directory) : "";
  End("starting the command: " + (known ? kSteps[step] + where : "unknown step") + ": " +
      ErrnoText(code));
}

void Cell::OnExited(int pid, int status) {
  if (pid != main_pid_ || ended_) return;
  report_.wait_status = status;
  report_.lost.clear();
  ended_ = true;
}

void Cell::Deny(journal::Record record) {
  const std::uint64_t seq = services_.journal.Append(record);  // it is refused either way
  if (desk() != nullptr) desk()->Deny(record, seq);
}

bool Cell::Attended() const {
  return setup_.attended ||
         std::any_of(std::begin(setup_.request.streams), std::end(setup_.request.streams),
                     [](auto stream) { return stream == wire::Stream::kTerminal; });
}

// Before anything can connect. Without a gateway in the plan there is nothing to start.
Result<void> Cell::StartEgress() {
  if (!setup_.plan.gateway) return {};
  if (gateway_.empty()) return Error(EPROTO, "", "it was not handed over");
  egress_ = TRY(CellEgress::Start({.loop = services_.loop,
                                   .engine = services_.engine,
                                   .journal = services_.journal,
                                   .approvals = services_.approvals,
                                   .home = setup_.request.home,
                                   .on_refused = [this](journal::Record r) { Deny(std::move(r)); },
                                   .reach_cell = services_.reach_cell,
                                   .pool = services_.pool,
                                   .environment = setup_.request.environment},
                                  NetIdentity(setup_), setup_.policy->profile(),
                                  TermsOf(setup_.policy->profile(), Attended(), init_pid_),
                                  std::move(user_namespace_), std::exchange(gateway_, {})));
  return {};
}

// Before anything can run. Without a cgroup in the plan there is none.
Result<void> Cell::OpenWall() {
  // Behind the namespace are its sockets.
  if (setup_.plan.gateway && gateway_.size() < 2)
    return Error(EPROTO, "", "the gateway was not handed over");
  TRY(setup_.wall.Open({.id = setup_.plan.id,
                        .init = init_pid_,
                        .network_witness = network_witness_,
                        .gateway_witness = setup_.plan.gateway ? &gateway_[1] : nullptr,
                        .home = setup_.request.home,
                        .nested = setup_.plan.namespaces > 0},
                       setup_.policy->profile(),
                       [this](const std::string& why) { OnWallLost(why); }));
  network_witness_.Reset();
  return {};
}

void Cell::OnWallLost(const std::string& why) {
  if (finished_) return;
  journal::Record record = journal::RecordNow(journal::Kind::kConnect, setup_.plan.id, init_pid_);
  record.verdict = policy::Action::kDeny;
  record.result = "lost";
  record.reason = "second wall: " + why;
  (void)services_.journal.Append(std::move(record));  // it ends either way
  End("the second wall around its network was lost: " + why);
}

// The listener, the shim's descriptor and init's pid come over two sockets in any order.
void Cell::StartSupervisor() {
  if (finished_ || supervisor_ != nullptr || !listener_.valid() || !shim_.valid() || init_pid_ == 0)
    return;
  if (const Result<void> opened = OpenWall(); !opened.ok())
    return End("second wall: " + opened.error().ToString());
  if (const Result<void> joined = StartEgress(); !joined.ok())
    return End("gateway: " + joined.error().ToString());
  if (const Result<void> published = StartInbound(); !published.ok())
    return End("published ports: " + published.error().ToString());
  notify::CellFacts facts;
  facts.cell_id = setup_.plan.id;
  facts.cell_name = setup_.plan.name;
  facts.profile_name = setup_.plan.profile;
  facts.workspace = setup_.request.workspace;
  facts.environment = setup_.environment;
  facts.policy = setup_.policy;
  facts.journal = &services_.journal;
  facts.shim = std::move(shim_);
  facts.denials = std::move(denials_);
  facts.init_pid = init_pid_;
  facts.host_uid = setup_.plan.host_uid;
  facts.host_gid = setup_.plan.host_gid;
  facts.inside_uid = setup_.plan.inside_uid;
  facts.user = setup_.caller.user_inside();
  facts.observe = setup_.request.observe;
  if (egress_ != nullptr) facts.egress = egress_->egress();
  facts.run_elsewhere = [&loop = services_.loop, &runner = services_.runner,
                         id = setup_.plan.id](exec::Waiter waiter) {
    loop.Post([&runner, id, held = std::make_shared<exec::Waiter>(std::move(waiter))] {
      runner.Run(id, std::move(*held));
    });
  };
  shelf_ = std::make_shared<rooms::Shelf>(std::move(scripts_), setup_.plan.host_uid,
                                          setup_.plan.host_gid);
  rooms_ = std::make_unique<rooms::Rooms>(
      rooms::Rooms::Services{.loop = services_.loop,
                             .pool = services_.pool,
                             .journal = services_.journal,
                             .approvals = services_.approvals,
                             .elsewhere = facts.run_elsewhere,
                             .check =
                                 [&runner = services_.runner, id = setup_.plan.id](
                                     const std::string& command, std::string request,
                                     std::function<void(Result<std::string>)> done) {
                                   runner.Check(id, command, std::move(request), std::move(done));
                                 }},
      setup_.plan.id, shelf_);
  facts.admit = rooms_->Door();
  facts.attended = Attended();
  facts.nests = setup_.plan.namespaces > 0;
  facts.proposals = std::make_shared<exec::Proposals>();
  ListenInside(facts);
  Result<std::unique_ptr<notify::Supervisor>> started =
      notify::Supervisor::Start(std::move(listener_), std::move(facts), EndIfUnheard());
  if (!started.ok()) {
    // A command that cannot even be tried ends init before there is anybody to supervise. What init
    // said about it may still lie in the socket and counts more: Finish looks.
    report_.lost = "supervisor: " + started.error().ToString();
    (void)sys::PidfdSendSignal(init_, SIGKILL);  // ESRCH: it has ended
    return;
  }
  supervisor_ = std::move(*started);
  if (callbacks_.on_ready) callbacks_.on_ready();
}

// On a supervisor's thread, maybe when this is gone already.
notify::Supervisor::OnEnd Cell::EndIfUnheard() {
  return [this, here = std::weak_ptr(alive_),
          &loop = services_.loop](const std::optional<Error>& broken) {
    if (!broken) return;  // the end of init tells
    loop.Post([this, here, why = broken->ToString()] {
      if (!here.expired() && !finished_) End("its calls cannot be heard any more: " + why);
    });
  };
}

void Cell::ListenInside(const notify::CellFacts& facts) {
  const exec::PreviewOrder known{.policy = nullptr,
                                 .init_pid = init_pid_,
                                 .host_uid = facts.host_uid,
                                 .host_gid = facts.host_gid,
                                 .inside_uid = facts.inside_uid,
                                 .user = facts.user,
                                 .path = "",
                                 .argv = {}};
  cell_socket_ = std::make_unique<rooms::CellSocket>(
      rooms::CellSocket::Services{
          .loop = services_.loop,
          .pool = services_.pool,
          .proposals = facts.proposals,
          .last_denial =
              [this] { return supervisor_ == nullptr ? "" : supervisor_->last_denial(); },
          .preview =
              [this, known] {
                exec::PreviewOrder order = known;
                order.policy = setup_.policy;
                return order;
              }},
      std::move(broker_));
}

Result<void> Cell::Keep(UniqueFd keeper) {
  return OrderKeeper(control_, keeper);
}

exec::Desk* Cell::desk() const {
  return supervisor_ != nullptr ? &supervisor_->desk() : nullptr;
}

Result<void> Cell::AdoptListener(const std::string& token, UniqueFd listener) {
  if (!Expects(token)) return Error(EPERM, "", "this cell expects no such listener");
  adopted_ = true;
  listener_ = std::move(listener);
  StartSupervisor();
  return {};
}

void Cell::Signal(int signal) {
  if (ended_) return;
  if (main_pid_ == 0) return early_signals_.push_back(signal);  // for when there is a command
  (void)OrderSignal(control_, main_pid_, signal);               // a deaf init: End still works
}

void Cell::End(const std::string& why) {
  if (!ended_) report_.lost = why;
  ended_ = true;
  control_watch_.reset();
  if (init_.valid()) {
    (void)sys::PidfdSendSignal(init_, SIGKILL);  // ESRCH: it has ended
    return;                                      // Finish follows when its pidfd becomes readable
  }
  // No init yet: the launcher still holds its child; closing our end makes whatever becomes init
  // leave.
  services_.loop.Post([this] { Finish(); });
}

void Cell::ShareGuards(const wire::CellPlan& other) {
  if (!finished_) guards_->Share(other);
}

void Cell::ReplacePolicy(std::shared_ptr<const policy::Policy> policy, std::string documents) {
  ++policy_generation_;
  setup_.policy = std::move(policy);
  setup_.documents = std::move(documents);
  if (supervisor_ != nullptr) supervisor_->ReplacePolicy(setup_.policy);
  // What is let out now must find the second wall open already.
  if (const Result<void> replaced = setup_.wall.ReplacePolicy(setup_.policy->profile());
      !replaced.ok())
    return End("second wall: " + replaced.error().ToString());
  if (egress_ != nullptr) {
    const Result<void> replaced = egress_->ReplacePolicy(setup_.policy->profile());
    if (!replaced.ok()) return End("network: " + replaced.error().ToString());
  }
  (void)Record("policy");  // what is decided under it is recorded by itself
}

void Cell::OnGuard(const Guards::Event& event) {
  if (event.set_aside) report_.quarantined.push_back(event.to);
  journal::Record record = journal::RecordNow(journal::Kind::kFile, setup_.plan.id);
  record.path = event.path;
  record.to = event.to;
  record.verdict = policy::Action::kDeny;
  record.reason = event.reason;
  record.result = event.result;
  // It has been done whether or not this is kept.
  (void)services_.journal.Append(std::move(record));
  if (setup_.plan.namespaces > 0 && std::string_view(event.result) == Guards::kMaskedAgain)
    EndNested();
}

// The mask is back in the cell's tree only: another mount namespace cannot be given one that holds.
void Cell::EndNested() {
  const Result<void> killed = KillOutsideOfTree(init_pid_);
  if (!killed.ok()) End("nested mount namespaces lost a mask: " + killed.error().ToString());
}

// Init is dead and reaped by the kernel's rules: every task of the cell is gone before its pidfd
// becomes readable.
void Cell::Finish() {
  if (finished_) return;
  finished_ = true;
  init_watch_.reset();
  control_watch_.reset();
  time_limit_.reset();
  answer_deadline_.reset();
  OnControl();                                 // what init said last may still lie in the socket
  services_.runner.CellEnded(setup_.plan.id);  // while its supervisor is there
  if (supervisor_ != nullptr) {
    const notify::Counters counters = supervisor_->counters();
    report_.allowed = counters.allowed;
    report_.asked = counters.asked;
    report_.denied = counters.denied;
    if (setup_.request.report) report_.denials = supervisor_->denials();
    cell_socket_.reset();
    rooms_.reset();
    if (egress_ != nullptr) egress_->Stop();  // while there is a supervisor to answer through
    supervisor_.reset();
  }
  egress_.reset();
  if (inbound_ != nullptr) inbound_->Stop();
  inbound_.reset();
  // The last descriptor of the mount namespace takes all its mounts down.
  services_.janitor.Do([namespaces = std::make_shared<CellNamespaces>(
                            guards_->Finish())]() mutable { namespaces.reset(); });
  guards_.reset();
  report_.layers = Layers();
  for (const std::string& warning : setup_.plan.warnings) {
    if (warning.starts_with("limits.")) report_.cut_limits.push_back(warning);
  }
  services_.approvals.ForgetCell(setup_.plan.id);
  if (!ended_ && report_.lost.empty()) report_.lost = "init ended before the command did";
  setup_.wall.Settle();
  (void)Record("ended");  // the cell is over either way
  setup_.wall.Close();
  callbacks_.on_end(report_);
}

bool Cell::Record(const char* result) {
  const CellMoment moment{
      .result = result, .init_pid = init_pid_, .layers = Layers(), .report = report_};
  return services_.journal.Append(RecordOf(setup_, moment)) != 0;
}

}  // namespace cellrun::cells
