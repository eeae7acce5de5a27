// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/cell.h"

#include <fcntl.h>
#include <signal.h>

#include <algorithm>
#include <charconv>

#include "broker/cells/cell_record.h"
#include "broker/cells/init_orders.h"
#include "broker/cells/nested_tasks.h"
#include "lib/sys/file.h"
#include "lib/sys/process.h"
#include "lib/sys/random.h"

namespace cellrun::cells {
namespace {

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
  TRY(guards_->WatchForNew(std::move(setup_.protection)));
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

void Cell::Deny(journal::Record record) {
  const std::uint64_t seq = services_.journal.Append(record);  // it is refused either way
  if (desk() != nullptr) desk()->Deny(record, seq);
}

Result<void> Cell::Keep(UniqueFd keeper) {
  return OrderKeeper(control_, keeper);
}

exec::Desk* Cell::desk() const {
  return supervisor_ != nullptr ? &supervisor_->desk() : nullptr;
}

void Cell::Signal(int signal) {
  if (ended_) return;
  if (main_pid_ == 0) return early_signals_.push_back(signal);  // for when there is a command
  (void)OrderSignal(control_, main_pid_, signal);               // a deaf init: End still works
}

void Cell::End(const std::string& why) {
  if (!ended_) report_.lost = why;
  cut_ |= !ended_;
  ended_ = true;
  control_watch_.reset();
  if (init_.valid()) {
    (void)sys::PidfdSendSignal(init_, SIGKILL);  // ESRCH: it has ended
    return;                                      // Finish follows when its pidfd becomes readable
  }
  // No init yet: the launcher still holds its child; closing our end makes whatever becomes init
  // leave.
  services_.loop.Post([this, here = std::weak_ptr(alive_)] {
    if (!here.expired()) Finish();  // it may have ended, and be gone, for another reason
  });
}

void Cell::EndForOutput() {
  report_.output_ended = true;  // also where it has just ended by itself
  if (!ended_) End("");
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
  if (const Result<void> replaced = setup_.wall.ReplacePolicy(ProfileOf(setup_.policy));
      !replaced.ok())
    return End("second wall: " + replaced.error().ToString());
  if (egress_ != nullptr) {
    const Result<void> replaced = egress_->ReplacePolicy(ProfileOf(setup_.policy));
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
  CellNamespaces namespaces = guards_->Finish();
  CompleteReport();
  Dismantle(std::move(namespaces));
  (void)Record("ended");  // the cell is over either way
  setup_.wall.Close();
  setup_.left_wall.Close();
  setup_.limits.Close();
  callbacks_.on_end(report_);
}

void Cell::CompleteReport() {
  if (supervisor_ != nullptr) {
    const notify::Counters counters = supervisor_->counters();
    report_.allowed = counters.allowed;
    report_.asked = counters.asked;
    report_.denied = counters.denied;
    if (setup_.request.report) report_.denials = supervisor_->denials();
  }
  report_.layers = Layers();
  report_.memory_kills = setup_.limits.MemoryKills();
  for (const std::string& warning : setup_.plan.warnings) {
    if (warning.starts_with("limits.")) report_.cut_limits.push_back(warning);
  }
  cut_ |= !ended_;
  if (!ended_ && report_.lost.empty()) report_.lost = "init ended before the command did";
}

void Cell::Dismantle(CellNamespaces namespaces) {
  // A command that has ended by itself has sent what it has sent.
  const auto leftovers = cut_ ? net::Leftovers::kCut : net::Leftovers::kArrive;
  if (supervisor_ != nullptr) {
    cell_socket_.reset();
    rooms_.reset();
    if (egress_ != nullptr)
      egress_->Stop(leftovers);  // while there is a supervisor to answer through
    supervisor_.reset();
  }
  if (egress_ != nullptr) looked_up_ = egress_->Lookups();
  if (lookups_ != nullptr) looked_up_ = lookups_->Counters();
  egress_.reset();
  lookups_.reset();
  if (inbound_ != nullptr) inbound_->Stop(leftovers);
  inbound_.reset();
  // The last descriptor of the mount namespace takes all its mounts down.
  services_.janitor.Do(
      [last = std::make_shared<CellNamespaces>(std::move(namespaces))]() mutable { last.reset(); });
  setup_.tools = ToolDirectory();  // gone before anybody hears of the end
  services_.approvals.ForgetCell(setup_.plan.id);
  setup_.wall.Settle();
}

bool Cell::Record(const char* result) {
  const CellMoment moment{.result = result,
                          .init_pid = init_pid_,
                          .layers = Layers(),
                          .report = report_,
                          .lookups = looked_up_};
  return services_.journal.Append(RecordOf(setup_, moment)) != 0;
}

}  // namespace cellrun::cells
