// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <thread>

#include "broker/approvals/approvals.h"
#include "broker/approvals/routes.h"
#include "broker/cells/inotify_hub.h"
#include "broker/cells/launch_session.h"
#include "broker/cells/listener_server.h"
#include "broker/cells/policy_refresh.h"
#include "broker/cells/policy_store.h"
#include "broker/cells/registry.h"
#include "broker/cells/tools.h"
#include "broker/daemon/instance.h"
#include "broker/egress/grants.h"
#include "broker/egress/routes.h"
#include "broker/http/records.h"
#include "broker/http/server.h"
#include "broker/journal/journal.h"
#include "broker/loop/janitor.h"
#include "broker/loop/loop.h"
#include "broker/loop/pool.h"
#include "broker/net/wall/wall.h"
#include "broker/run/elsewhere.h"

namespace cellrun::daemon {

// The broker: accepts launchers and API clients until it is told to stop, or nobody has needed it
// for `idle`.
class Daemon {
 public:
  struct Options {
    std::chrono::seconds idle{60};
  };
  // Threads that look into files for those who decide about them.
  static constexpr std::size_t kExaminers = 2;
  // Tasks that all cells together may have the broker attached to, beyond what each may anyway.
  static constexpr std::size_t kAttachedForEachProcessor = 8;
  static Result<std::unique_ptr<Daemon>> Make(Instance instance, Options options);

  void Run();  // returns when stopped: cells ended, journal on disk

 private:
  Daemon(Instance instance, Options options);
  Result<void> Start();
  Result<void> WatchSignals();
  void RegisterRoutes(http::Router& router);
  [[nodiscard]] http::Response Cells() const;
  [[nodiscard]] http::Response Status() const;
  http::Response OnStop(const http::Request& request);
  void FollowRules();
  void OnLauncher();
  void RefuseLauncher(const UniqueFd& socket) const;
  void OnSessionClosed(std::uint64_t id);
  void Stop();
  void StopWhenEmpty();
  void ArmIdleTimer();
  cells::Services SharedServices();
  void TrimSoon();

  Instance instance_;
  const Options options_;
  const std::size_t max_sessions_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  loop::Loop loop_;
  loop::Janitor janitor_;
  const std::shared_ptr<exec::KnownHashes> hashes_ = std::make_shared<exec::KnownHashes>();
  const std::shared_ptr<exec::SharedPlaces> shared_places_ = std::make_shared<exec::SharedPlaces>(
      kAttachedForEachProcessor * std::thread::hardware_concurrency());
  loop::Pool pool_{kExaminers};
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<run::Veil> veil_;  // what cells record goes through it
  net::Engine engine_;               // its threads record what outlives a cell
  std::unique_ptr<approvals::Approvals> approvals_;
  std::string cgroup_notes_;
  std::unique_ptr<net::Wall> wall_;
  std::unique_ptr<cells::InotifyHub> inotify_;
  cells::Registry registry_;
  cells::PolicyStore policies_;
  std::unique_ptr<run::Elsewhere> elsewhere_;
  egress::Grants grants_;
  std::unique_ptr<cells::PolicyRefresh> refresh_;
  std::unique_ptr<cells::Tools> tools_;
  std::unique_ptr<egress::Routes> egress_routes_;
  std::unique_ptr<http::Records> records_;
  std::unique_ptr<approvals::Routes> approval_routes_;
  std::unique_ptr<http::Server> api_;
  std::unique_ptr<cells::ListenerServer> listeners_;
  UniqueFd signals_;
  bool stopping_ = false;
  std::uint64_t next_session_ = 1;
  std::map<std::uint64_t, std::unique_ptr<cells::LaunchSession>> sessions_;
  std::unique_ptr<loop::Loop::Watch> launchers_, signal_watch_;
  std::unique_ptr<loop::Loop::Timer> idle_timer_, stop_timer_, accept_again_, trim_timer_,
      trim_again_;
};

}  // namespace cellrun::daemon
