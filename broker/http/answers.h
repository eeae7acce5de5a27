// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "broker/http/server.h"
#include "broker/journal/chain.h"
#include "broker/journal/reader.h"
#include "lib/base/result.h"

// What the journal's routes answer, apart from how it is sent: the broker runs these on worker
// threads, and AnswerOffline where no broker runs.
namespace cellrun::http {

struct AnswerSource {
  journal::Reader& reader;
  const std::string& database;
  // What a running broker knows to be the last record.
  std::optional<journal::ChainHead> head;
};

// A long body in pieces.
class Pages {
 public:
  virtual ~Pages() = default;
  struct Piece {
    std::string text;  // may be empty
    bool end = false;  // nothing more for now
  };
  virtual Result<Piece> Next(journal::Reader& reader) = 0;
  // Whether more may come after the end, with further records.
  [[nodiscard]] virtual bool follows() const { return false; }
};

struct Answer {
  Response response;  // its body, unless there are pages
  std::unique_ptr<Pages> pages;
};

struct AnswerRoute {
  const char* pattern;  // all are GET
  Answer (*answer)(const AnswerSource& source, const Request& request);
};
std::span<const AnswerRoute> AnswerRoutes();

// The response for an error of the journal.
Response ErrorResponse(const Error& error);

}  // namespace cellrun::http
