// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "broker/approvals/ask.h"
#include "broker/approvals/book.h"
#include "broker/http/server.h"

namespace cellrun::approvals {

// The query of GET /v1/approvals.
struct ListQuery {
  std::vector<State> states = {State::kPending};
  std::string cell;  // name, id or start of an id; "": any
  std::optional<std::uint64_t> limit;
  bool follow = false;

  [[nodiscard]] bool Wants(State state) const;
  [[nodiscard]] bool WantsCell(const std::string& id, const std::string& name) const;
  [[nodiscard]] bool OnlyPending() const;
};

// Fills `query`; a Response says which parameter is unknown, given twice or has a wrong value.
std::optional<http::Response> ReadListQuery(const http::Request& request, ListQuery& query);

}  // namespace cellrun::approvals
