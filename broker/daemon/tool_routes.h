// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "broker/cells/registry.h"
#include "broker/cells/tools.h"
#include "broker/http/server.h"

namespace cellrun::daemon {

// /v1/cells/CELL/tools (docs/api.md). On the loop's thread; what is passed outlives the router.
void RegisterToolRoutes(http::Router& router, const cells::Registry& registry, cells::Tools& tools);

}  // namespace cellrun::daemon
