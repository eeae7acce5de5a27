// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "broker/cells/cell.h"
#include "broker/cells/policy_refresh.h"
#include "broker/cells/policy_store.h"
#include "broker/cells/registry.h"
#include "broker/journal/journal.h"
#include "broker/peer/peer.h"

namespace cellrun::cells {

// One launcher's connection: hello, a run, its documents, its plan, and then the cell that it
// brought up, for as long as both live. Whatever is not understood is answered with a refusal that
// names the field, and the connection is closed. Only on the loop's thread.
class LaunchSession {
 public:
  struct Broker {
    Services services;
    journal::Journal& journal;
    Registry& registry;
    PolicyStore& policies;
    PolicyRefresh& refresh;
    std::function<bool()> draining;  // no new cells
    std::function<void()> leave;     // ends the broker, which has no cells
  };
  // `on_close` is called once, last; the session may be destroyed in it.
  LaunchSession(Broker broker, UniqueFd socket, const peer::Peer& peer,
                std::function<void()> on_close);
  ~LaunchSession();
  LaunchSession(const LaunchSession&) = delete;
  LaunchSession& operator=(const LaunchSession&) = delete;

 private:
  enum class State { kHello, kRun, kDocuments, kStreams, kPlanned, kRunning, kClosed };

  void OnReadable();
  Result<void> OnMessage(sys::Message message);
  Result<void> OnHello(const nlohmann::json& message);
  Result<void> GiveUpPlace(const wire::Hello& hello);
  Result<void> OnRun(const nlohmann::json& message, std::vector<UniqueFd> fds);
  Result<void> OnDocuments(const nlohmann::json& message, std::vector<UniqueFd> fds);
  Result<void> OnStreams(std::vector<UniqueFd> fds);
  Result<void> OnStarted(const nlohmann::json& message, std::vector<UniqueFd> fds);
  Result<void> OnSignal(const nlohmann::json& message);
  Result<void> TakeDocuments(const UniqueFd& memory, std::vector<policy::Source> documents);
  Result<void> PlanOrAsk();
  Result<void> MakePlan();
  [[nodiscard]] Result<std::vector<net::Published>> PublishPorts(
      const policy::Profile& profile) const;
  void RefusePort(const Error& error);
  [[nodiscard]] bool RefuseWithoutWall(const policy::Profile& profile);
  void RefuseLimits(const std::string& why);
  [[nodiscard]] bool RefuseWithoutLimits(const policy::Profile& profile, const WholeLimits& whole);
  void Refuse(const wire::Refusal& refusal);
  void RefuseProblems(const std::vector<policy::Problem>& problems);
  bool Send(const std::string& text, const UniqueFd* fd = nullptr);
  void OnTerminal(UniqueFd master);
  void OnCellEnd(const wire::ExitReport& report);
  void Release();
  void ReleaseIdentity();
  void Close();

  Broker broker_;
  UniqueFd socket_;
  const Caller caller_;
  const pid_t launcher_pid_;
  std::function<void()> on_close_;
  State state_ = State::kHello;

  wire::RunRequest request_;
  std::vector<UniqueFd> streams_;
  UniqueFd control_;
  CellWall wall_;         // until there is a cell
  int rounds_ = 0;        // of "need"
  bool relayed_ = false;  // "relay" was sent
  std::optional<Registry::Identity> identity_;
  std::unique_ptr<Cell> cell_;
  std::unique_ptr<loop::Loop::Watch> watch_;
};

}  // namespace cellrun::cells
