// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/api.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

namespace cellrun::bench {
namespace {

using nlohmann::json;

int Connect() {
  const char* const runtime = getenv("CELLRUN_RUNTIME_DIR");  // NOLINT(concurrency-mt-unsafe)
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  snprintf(&address.sun_path[0], sizeof address.sun_path, "%s/api.sock",
           runtime != nullptr ? runtime : "");
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

// The pieces of a chunked body, put together.
std::string Unchunked(const std::string& body) {
  std::string whole;
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t line = body.find("\r\n", at);
    const std::size_t size = std::strtoul(body.c_str() + at, nullptr, 16);
    if (line == std::string::npos || size == 0) break;
    whole.append(body, line + 2, size);
    at = line + 2 + size + 2;
  }
  return whole;
}

}  // namespace

std::string Call(const std::string& method, const std::string& target, const std::string& body) {
  const int fd = Connect();
  if (fd < 0) return "";
  const std::string request = method + " " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close" +
                              "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                              body;
  (void)!write(fd, request.data(), request.size());
  std::string answer;
  std::array<char, 65536> bytes{};
  for (ssize_t got = 0; (got = read(fd, bytes.data(), bytes.size())) > 0;)
    answer.append(bytes.data(), static_cast<std::size_t>(got));
  close(fd);
  const std::size_t head = answer.find("\r\n\r\n");
  if (head == std::string::npos) return "";
  const bool chunked = answer.rfind("chunked", head) != std::string::npos;
  const std::string rest = answer.substr(head + 4);
  return chunked ? Unchunked(rest) : rest;
}

std::vector<json> PendingAsks() {
  const std::string body = Call("GET", "/v1/approvals", "");
  std::vector<json> asks;
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t end = std::min(body.find('\n', at), body.size());
    json ask = json::parse(body.substr(at, end - at), nullptr, false);
    if (ask.is_object() && ask.contains("digest")) asks.push_back(std::move(ask));
    at = end + 1;
  }
  return asks;
}

bool AnythingIsAsked() {
  return Call("GET", "/v1/approvals?limit=1", "").find("digest") != std::string::npos;
}

bool Answer(const json& ask, const char* verdict) {
  const json answer = {{"verdict", verdict}, {"digest", ask["digest"]}};
  const std::string said =
      Call("POST", "/v1/approvals/" + ask["id"].get<std::string>(), answer.dump());
  return said.find("\"error\"") == std::string::npos && !said.empty();
}

}  // namespace cellrun::bench
