// SPDX-License-Identifier: Apache-2.0
// What gets into a cell: through the ports that it publishes.
#include <utility>

#include "broker/cells/cell.h"
#include "broker/cells/cell_record.h"
#include "broker/cells/init_orders.h"

namespace cellrun::cells {

Result<void> Cell::StartInbound() {
  if (setup_.published.empty()) return {};
  TRY(services_.engine.Start());
  inbound_ = net::Inbound::Make(
      {.engine = services_.engine,
       .cell = NetIdentity(setup_),
       .journal = services_.journal,
       .published = std::exchange(setup_.published, {}),
       .order =
           [this, &loop = services_.loop, alive = std::weak_ptr(alive_)](int family, int count) {
             loop.Post([this, alive, family, count] {
               if (!alive.expired()) OrderCellSockets(family, count);
             });
           },
       .audit = setup_.policy->profile().audit_network.value == policy::AuditLevel::kAll});
  inbound_->Start();
  return {};
}

void Cell::OrderCellSockets(int family, int count) {
  if (finished_ || inbound_ == nullptr) return;
  const Result<void> ordered = OrderSockets(control_, family, count);
  for (int i = 0; !ordered.ok() && i < count; ++i) inbound_->Give(family, ordered.error());
}

void Cell::Join(std::uint16_t port, const std::string& who, net::Dial::Done done) {
  if (inbound_ == nullptr) return done(Error(ECONNREFUSED, "connect"));
  inbound_->Join(port, who, std::move(done));
}

}  // namespace cellrun::cells
