// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "broker/http/server.h"
#include "broker/journal/journal.h"

namespace cellrun::http {

// Answers the journal's routes: /v1/records, /v1/records/:seq, /v1/records/:seq/why,
// /v1/audit/verify, /v1/audit/export. Queries run on two worker threads with connections of their
// own. Must outlive the server; destroyed on the loop's thread.
class Records {
 public:
  // The journal must outlive it.
  static std::unique_ptr<Records> Make(journal::Journal& journal);
  virtual ~Records() = default;
  Records(const Records&) = delete;
  Records& operator=(const Records&) = delete;
  virtual void Register(Router& router) = 0;

 protected:
  Records() = default;
};

// The same answers without a broker, from the database file alone: `cellrun-broker journal DATABASE
// TARGET`. Writes the status as one line, then the body, to standard output; 0 unless that failed.
// The launcher calls it where no broker runs, so that it needs neither SQLite nor OpenSSL.
int AnswerOffline(const std::string& database, const std::string& target);

}  // namespace cellrun::http
