// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <nlohmann/json.hpp>

#include "launcher/cell/steps.h"
#include "lib/sys/socket.h"

namespace cellrun::launcher {

// From our own parent, over a socket pair that nobody else has.
Result<void> ReceivePlan(ChildState& child) {
  const sys::Message message = TRY(sys::ReceiveMessage(child.orders, wire::kMaxLaunchBytes));
  if (message.bytes.empty())
    return Error(EPIPE, "recvmsg");  // the run was refused, or the launcher died
  child.plan = TRY(wire::TakePlan(message));
  child.trees.resize(child.plan.mounts.size());
  return {};
}

Result<void> ReceiveTrees(ChildState& child) {
  if (!child.by_root) return {};
  for (;;) {
    TreesOrder order;
    sys::Message message = TRY(sys::ReceiveMessage(child.orders, sizeof order));
    if (message.bytes.size() != sizeof order)
      return Error(EPIPE, "recvmsg");  // the launcher gave up
    memcpy(&order, message.bytes.data(), sizeof order);
    if (message.truncated || message.fds.size() != order.count) return Error(EPROTO, "recvmsg");
    for (std::size_t i = 0; i < message.fds.size(); ++i) {
      child.trees.at(order.places[i]) = std::move(message.fds[i]);
    }
    if (order.last != 0) return {};
  }
}

}  // namespace cellrun::launcher
