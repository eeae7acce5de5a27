// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "broker/approvals/approvals.h"
#include "broker/http/server.h"
#include "broker/journal/journal.h"

namespace cellrun::approvals {

// The routes of docs/api.md under /v1/approvals and /v1/approval-rules. What has to be read from
// the journal is read by a thread of its own. Outlives the server; destroyed on the loop's thread
// before what it refers to.
class Routes {
 public:
  static std::unique_ptr<Routes> Make(loop::Loop& loop, Approvals& approvals,
                                      const journal::Journal& journal);
  virtual ~Routes() = default;
  Routes(const Routes&) = delete;
  Routes& operator=(const Routes&) = delete;
  virtual void Register(http::Router& router) = 0;

 protected:
  Routes() = default;
};

}  // namespace cellrun::approvals
