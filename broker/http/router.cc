// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "broker/http/server.h"

namespace cellrun::http {
namespace {

std::vector<std::string> Split(std::string_view path) {
  std::vector<std::string> parts;
  for (std::size_t begin = 1; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    parts.emplace_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

bool Matches(const std::vector<std::string>& pattern, const std::vector<std::string>& parts,
             std::vector<std::pair<std::string, std::string>>& parameters) {
  parameters.clear();
  if (pattern.size() != parts.size()) return false;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (pattern[i].starts_with(':')) {
      parameters.emplace_back(pattern[i].substr(1), parts[i]);
    } else if (pattern[i] != parts[i]) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::optional<std::string> Request::Query(std::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return value;
  }
  return std::nullopt;
}

std::string Request::Parameter(std::string_view name) const {
  for (const auto& [key, value] : parameters) {
    if (key == name) return value;
  }
  return "";
}

Response ErrorResponse(int status, std::string_view what, std::string_view cause,
                       std::string_view suggest) {
  nlohmann::json error = {{"what", what}};
  if (!cause.empty()) error["cause"] = cause;
  if (!suggest.empty()) error["try"] = suggest;
  const nlohmann::json body = {{"error", std::move(error)}};
  return {.status = status,
          .body = body.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n",
          .content_type = "application/json"};
}

void Router::Add(std::string method, const std::string& pattern, Handler handler) {
  AddAsync(std::move(method), pattern,
           [handler = std::move(handler)](const Request& request, const Responder& responder) {
             responder.Send(handler(request));
           });
}

void Router::AddAsync(std::string method, const std::string& pattern, AsyncHandler handler) {
  routes_.push_back({std::move(method), Split(pattern), std::move(handler)});
}

const AsyncHandler* Router::Find(Request& request, Response& refusal) const {
  const std::vector<std::string> parts = Split(request.path);
  bool known = false;
  for (const Route& route : routes_) {
    if (!Matches(route.parts, parts, request.parameters)) continue;
    if (route.method == request.method) return &route.handler;
    known = true;
  }
  refusal = known ? ErrorResponse(405, "this method is not allowed here")
                  : ErrorResponse(404, "there is no such resource", request.path);
  return nullptr;
}

}  // namespace cellrun::http
