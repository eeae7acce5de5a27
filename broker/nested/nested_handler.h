// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/seccomp.h>

#include <string>

#include "broker/exec/resolve.h"
#include "broker/nested/stand_in.h"
#include "broker/notify/cell_facts.h"
#include "broker/notify/listener.h"
#include "broker/notify/receivers.h"

namespace cellrun::nested {

// Answers what the filter reports of a cell whose tasks may make namespaces of their own (the
// opt-in `userns`; docs/filter.md). Its /proc is read-only, and so is every procfs that is mounted
// inside, so that no task can write another one's memory; the two calls that need more are made by
// a stand-in.
class NestedHandler {
 public:
  NestedHandler(const notify::CellFacts& facts, const notify::Listener& listener,
                exec::Resolver resolver)
      : facts_(facts), listener_(listener), resolver_(std::move(resolver)) {}

  // mount(2) of a new file system: "" when it was answered, else why it has to be refused.
  [[nodiscard]] std::string Mount(const seccomp_notif& notification, notify::Lane& lane) const;
  // open(2) or openat(2) for writing.
  void Open(const seccomp_notif& notification, notify::Lane& lane) const;

 private:
  struct OpenCall;
  // For the caller, while its number is certain to be its own.
  [[nodiscard]] Result<StandIn> StandInFor(const seccomp_notif& notification) const;
  [[nodiscard]] Result<UniqueFd> OpenMap(const seccomp_notif& notification, const OpenCall& call,
                                         const std::string& path) const;

  const notify::CellFacts& facts_;
  const notify::Listener& listener_;
  const exec::Resolver resolver_;
};

}  // namespace cellrun::nested
