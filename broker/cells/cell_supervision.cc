// SPDX-License-Identifier: Apache-2.0
// Who judges, answers and watches a cell, from init's descriptors on.
#include <signal.h>

#include <algorithm>
#include <iterator>

#include "broker/cells/cell.h"
#include "broker/cells/cell_record.h"
#include "lib/groups/host_groups.h"
#include "lib/sys/process.h"

namespace cellrun::cells {
namespace {

// An init that ends is shown outside of its cgroups a moment before it has ended.
constexpr std::chrono::milliseconds kInitMayTake{200};

}  // namespace

bool Cell::Attended() const {
  return setup_.attended ||
         std::any_of(std::begin(setup_.request.streams), std::end(setup_.request.streams),
                     [](auto stream) { return stream == wire::Stream::kTerminal; });
}

// The rules that it started with let nothing out; others would not find a way.
Result<void> Cell::StartLookups() {
  TRY(net::Resolver::Bind(resolver_sockets_, *net::ParseAddress("127.0.0.1")).With("resolver"));
  lookups_ = std::make_unique<CellLookups>(
      services_.loop, std::move(resolver_sockets_),
      [profile = ProfileOf(setup_.policy),
       home = setup_.request.home]() -> std::shared_ptr<const net::EgressJudge> {
        const auto policy = groups::CompileNetwork(*profile, home);
        if (!policy.ok() || policy.value().LetsAnythingOut()) return nullptr;
        return std::make_shared<net::EgressJudge>(
            std::make_shared<const policy::NetworkPolicy>(policy.value()));
      },
      RefusedNames(NetIdentity(setup_), [this](journal::Record r) { Deny(std::move(r)); }));
  return {};
}

// Before anything can connect.
Result<void> Cell::StartEgress() {
  if (!setup_.plan.gateway) return StartLookups();
  if (gateway_.empty()) return Error(EPROTO, "", "it was not handed over");
  egress_ = TRY(CellEgress::Start({.loop = services_.loop,
                                   .engine = services_.engine,
                                   .journal = services_.journal,
                                   .approvals = services_.approvals,
                                   .home = setup_.request.home,
                                   .on_refused = [this](journal::Record r) { Deny(std::move(r)); },
                                   .tell =
                                       [this](const journal::Record& record, std::uint64_t seq) {
                                         if (desk() != nullptr) desk()->Deny(record, seq);
                                       },
                                   .reach_cell = services_.reach_cell,
                                   .pool = services_.pool,
                                   .environment = setup_.request.environment},
                                  NetIdentity(setup_), ProfileOf(setup_.policy),
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
                       ProfileOf(setup_.policy),
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
  if (const Result<void> limited = setup_.limits.Confirm(init_pid_);
      !limited.ok() && !sys::HasEnded(init_, kInitMayTake))
    return End("the limits of the cell: " + limited.error().ToString());
  setup_.left_wall.Close();
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
                                 },
                             .hashes = services_.hashes},
      setup_.plan.id, shelf_);
  facts.admit = rooms_->Door();
  facts.attended = Attended();
  facts.nests = setup_.plan.namespaces > 0;
  facts.proposals = std::make_shared<exec::Proposals>();
  facts.hashes = services_.hashes;
  facts.shared_places = services_.shared_places;
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

Result<void> Cell::AdoptListener(const std::string& token, UniqueFd listener) {
  if (!Expects(token)) return Error(EPERM, "", "this cell expects no such listener");
  adopted_ = true;
  listener_ = std::move(listener);
  StartSupervisor();
  return {};
}

}  // namespace cellrun::cells
