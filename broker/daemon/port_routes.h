// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "broker/cells/registry.h"
#include "broker/http/server.h"

namespace cellrun::daemon {

// [{"inner", "address", "port", "proto"}]
nlohmann::json PortsOf(const cells::Cell& cell);

// /v1/cells/CELL/ports (docs/api.md). On the loop's thread; what is passed outlives the router.
void RegisterPortRoutes(http::Router& router, const cells::Registry& registry);

}  // namespace cellrun::daemon
