// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/result.h"

namespace cellrun::client {

struct HttpResponse {
  int status = 0;
  std::string content_type;
  std::string body = {};
};

struct HttpRequest {
  std::string method = "GET";
  std::string target;  // path and query, encoded (see Target)
  std::string body = {};
  std::chrono::milliseconds timeout{30'000};  // without any byte from the broker; 0: none
  std::size_t max_body_bytes = 64 << 20;
};

// One request on the broker's api.sock. ECONNREFUSED or ENOENT: no broker runs. EPERM: the socket
// is served by somebody else. EPROTO: what answered does not speak HTTP/1.1.
Result<HttpResponse> Call(const std::string& socket_path, const HttpRequest& request);

// As Call, but a successful (2xx) body is handed over line by line (without the newline) as it
// comes; `line` returns false to stop. Any other body is in the response.
Result<HttpResponse> CallForLines(const std::string& socket_path, const HttpRequest& request,
                                  const std::function<bool(std::string_view)>& line);

// One part of a path.
std::string EncodePart(std::string_view part);
// "/v1/records?cell=a%20b": percent-encodes the values.
std::string Target(std::string_view path,
                   const std::vector<std::pair<std::string, std::string>>& query);

}  // namespace cellrun::client
