// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/list_query.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "broker/http/filter.h"

namespace cellrun::approvals {
namespace {

constexpr std::array kStates = {State::kPending, State::kApproved, State::kDenied, State::kExpired,
                                State::kWithdrawn};

bool ReadStates(const std::string& text, ListQuery& query) {
  query.states.clear();
  if (text == "all") {
    query.states.assign(kStates.begin(), kStates.end());
    return true;
  }
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view name = std::string_view(text).substr(begin, end - begin);
    const auto* found = std::find_if(kStates.begin(), kStates.end(),
                                     [&](State state) { return name == StateName(state); });
    if (found == kStates.end()) return false;
    query.states.push_back(*found);
    begin = end + 1;
  }
  return true;
}

bool ReadCell(const std::string& text, ListQuery& query) {
  query.cell = text;
  return !text.empty();
}

bool ReadLimit(const std::string& text, ListQuery& query) {
  query.limit = http::ParseNumber(text);
  return query.limit && *query.limit > 0;
}

bool ReadFollow(const std::string& text, ListQuery& query) {
  query.follow = text == "1";
  return text == "1" || text == "0";
}

struct Parameter {
  std::string_view name;
  bool (*read)(const std::string& text, ListQuery& query);
  const char* expected;
};

constexpr std::array kParameters = {
    Parameter{"state", ReadStates, "expected pending, approved, denied, expired, withdrawn or all"},
    Parameter{"cell", ReadCell, "expected a cell's name or id"},
    Parameter{"limit", ReadLimit, "expected a number from 1"},
    Parameter{"follow", ReadFollow, "expected 1 or 0"},
};

}  // namespace

bool ListQuery::Wants(State state) const {
  return std::find(states.begin(), states.end(), state) != states.end();
}

bool ListQuery::WantsCell(const std::string& id, const std::string& name) const {
  return cell.empty() || cell == name || id.starts_with(cell);
}

bool ListQuery::OnlyPending() const {
  return std::all_of(states.begin(), states.end(),
                     [](State state) { return state == State::kPending; });
}

std::optional<http::Response> ReadListQuery(const http::Request& request, ListQuery& query) {
  std::set<std::string> seen;
  for (const auto& [name, value] : request.query) {
    const auto* known = std::find_if(kParameters.begin(), kParameters.end(),
                                     [&](const Parameter& one) { return one.name == name; });
    if (known == kParameters.end()) {
      return http::ErrorResponse(400, "unknown parameter '" + name + "'");
    }
    if (!seen.insert(name).second) {
      return http::ErrorResponse(400, "'" + name + "' is given twice");
    }
    if (!known->read(value, query)) {
      return http::ErrorResponse(400, "wrong value for '" + name + "': " + value, known->expected);
    }
  }
  return std::nullopt;
}

}  // namespace cellrun::approvals
