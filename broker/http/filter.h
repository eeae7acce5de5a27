// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "broker/http/server.h"
#include "broker/journal/reader.h"

namespace cellrun::http {

// A journal query as query parameters.
struct RecordQuery {
  journal::Filter filter;
  std::optional<std::uint64_t> limit;  // the newest so many
  std::uint64_t after = 0;
  bool follow = false;
};

// Fills `query`; a Response says which parameter is unknown, given twice or has a wrong value.
std::optional<Response> ReadQuery(const Request& request, RecordQuery& query);

std::optional<std::uint64_t> ParseNumber(std::string_view text);

}  // namespace cellrun::http
