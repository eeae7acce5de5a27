// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "broker/approvals/approvals.h"
#include "broker/http/server.h"

namespace cellrun::approvals {

// The routes of docs/api.md under /v1/approvals and /v1/approval-rules. `approvals` outlives the
// server.
void RegisterRoutes(http::Router& router, Approvals& approvals);

}  // namespace cellrun::approvals
