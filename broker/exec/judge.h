// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/seccomp.h>

#include <memory>
#include <mutex>

#include "broker/exec/image.h"
#include "broker/exec/judgement.h"
#include "broker/exec/resolve.h"
#include "broker/exec/ticket.h"
#include "broker/notify/cell_facts.h"
#include "broker/notify/listener.h"
#include "broker/notify/receivers.h"
#include "lib/policy/policy.h"

namespace cellrun::exec {

// Turns a notification into a Judgement. Every failure is a refusal. Thread-safe.
class Judge {
 public:
  Judge(const notify::CellFacts& facts, const notify::Listener& listener, Resolver resolver,
        Tickets& tickets);

  Judgement Decide(const seccomp_notif& notification, notify::Lane& lane);
  void ReplacePolicy(std::shared_ptr<const policy::Policy> policy);

 private:
  struct PolicyView {
    std::shared_ptr<const policy::Policy> policy;
    // Looked at only where a rule wants it: each costs as much as a whole lookup.
    bool uses_terminal = false, uses_parent = false, uses_directory = false;
    bool judges_nothing = false;  // every exec is allowed as it is
  };
  class Case;

  [[nodiscard]] std::shared_ptr<const PolicyView> View() const;

  const notify::CellFacts& facts_;
  const notify::Listener& listener_;
  const Resolver resolver_;
  ImageInspector inspector_;
  Tickets& tickets_;
  mutable std::mutex mutex_;
  std::shared_ptr<const PolicyView> view_;  // guarded by mutex_
};

}  // namespace cellrun::exec
