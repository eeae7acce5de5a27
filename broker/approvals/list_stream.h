// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "broker/approvals/approvals.h"
#include "broker/approvals/list_query.h"
#include "broker/http/server.h"

namespace cellrun::approvals {

// The body of GET /v1/approvals: one ask a line, and with `follow` each change after that. Made on
// the loop's thread.
std::shared_ptr<http::ChunkSource> MakeListStream(loop::Loop& loop, Approvals& approvals,
                                                  ListQuery query);

}  // namespace cellrun::approvals
