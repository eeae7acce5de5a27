// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/seccomp.h>

#include <memory>

#include "broker/exec/exec_handler.h"
#include "broker/net/address/address.h"
#include "broker/notify/cell_facts.h"
#include "broker/notify/listener.h"
#include "broker/notify/receivers.h"
#include "broker/notify/repeats.h"
#include "broker/notify/tally.h"

namespace cellrun::notify {

// Answers connect(2). What stays in the cell goes on. Without a gateway all else is refused with
// EACCES and recorded; with one, what the policy does not deny is handed to net::Egress, which
// answers later. The reserved connect of a waiting room is answered with its channel.
class ConnectHandler {
 public:
  ConnectHandler(const CellFacts& facts, const Listener& listener, exec::ExecHandler& exec,
                 Repeats& repeats, Tally& tally) noexcept
      : facts_(facts), listener_(listener), exec_(exec), repeats_(repeats), tally_(tally) {}

  void Handle(const seccomp_notif& notification, Lane& lane, const policy::Profile& profile) const;

 private:
  void HandOverChannel(const seccomp_notif& notification) const;
  void GoOut(const seccomp_notif& notification, const net::Endpoint& to,
             const policy::Profile& profile) const;
  [[nodiscard]] journal::Record RecordOf(const seccomp_notif& notification,
                                         const std::string& address, std::uint16_t port,
                                         const policy::Profile& profile) const;
  void Refuse(const seccomp_notif& notification, journal::Record record) const;
  void RefuseOrdering(const seccomp_notif& notification, journal::Record record) const;

  const CellFacts& facts_;
  const Listener& listener_;
  exec::ExecHandler& exec_;
  Repeats& repeats_;
  Tally& tally_;
};

}  // namespace cellrun::notify
