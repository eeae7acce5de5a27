// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/loop/loop.h"
#include "broker/peer/peer.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

// The HTTP API on api.sock. docs/api.md describes what is served.
namespace cellrun::http {

using peer::Peer;

struct Request {
  std::string method;                                           // "GET"
  std::string path;                                             // decoded, without the query
  std::vector<std::pair<std::string, std::string>> query;       // decoded, in order
  std::vector<std::pair<std::string, std::string>> parameters;  // ":name" parts of the pattern
  std::string body;
  Peer peer;

  // The first of that name; nothing if there is none.
  [[nodiscard]] std::optional<std::string> Query(std::string_view name) const;
  // "" if the pattern has no such part.
  [[nodiscard]] std::string Parameter(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
};

// {"error": {"what", "cause", "try"}}; empty parts are left out.
Response ErrorResponse(int status, std::string_view what, std::string_view cause = "",
                       std::string_view suggest = "");

// A body that is made while it is sent. The next piece is asked for when the one before is in the
// kernel's buffer, so a slow reader holds up only itself. Destroyed when the body is complete or
// the client is gone.
class ChunkSource {
 public:
  virtual ~ChunkSource() = default;
  // `done` is called once, on any thread: with the next piece (an empty one is skipped), or with
  // nothing at the end.
  virtual void Next(std::function<void(std::optional<std::string>)> done) = 0;
};

// How a handler that needs time answers. Copies answer the same request; only the first answer
// counts. Thread-safe; a responder that goes away unanswered answers 500.
class Responder {
 public:
  class Impl;
  explicit Responder(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  void Send(Response response) const;
  // Sent with chunked encoding; `head.body` is not used.
  void Stream(Response head, std::shared_ptr<ChunkSource> source) const;

 private:
  std::shared_ptr<Impl> impl_;
};

using Handler = std::function<Response(const Request&)>;  // on the loop; must not block
using AsyncHandler = std::function<void(const Request&, Responder)>;

// Which handler answers what. A pattern's parts match literally, or anything if they start with a
// colon: "/v1/records/:seq/why".
class Router {
 public:
  void Add(std::string method, const std::string& pattern, Handler handler);
  void AddAsync(std::string method, const std::string& pattern, AsyncHandler handler);
  // Fills request.parameters. Nothing: `refusal` says why (404, 405).
  [[nodiscard]] const AsyncHandler* Find(Request& request, Response& refusal) const;

 private:
  struct Route {
    std::string method;
    std::vector<std::string> parts;
    AsyncHandler handler;
  };
  std::vector<Route> routes_;
};

struct ServerOptions {
  std::size_t max_head_bytes = std::size_t{16} * 1024;
  std::size_t max_body_bytes = 1 << 20;
  std::size_t max_connections = 64;
  std::chrono::milliseconds idle{60'000};     // between requests
  std::chrono::milliseconds receive{10'000};  // from the first byte of a request to its last
  std::chrono::milliseconds send{60'000};     // a response that nobody reads; not for streams
  // Who may connect; tests replace it. The default: the broker's own uid or root, and never a
  // process in a pid namespace below the broker's, which is a cell's.
  std::function<Result<Peer>(const UniqueFd& connection)> check_peer = {};
};

// Serves until it is destroyed. All calls, and all handlers, on the loop's thread.
class Server {
 public:
  // `listener`: a bound, listening AF_UNIX stream socket.
  static Result<std::unique_ptr<Server>> Start(loop::Loop& loop, UniqueFd listener, Router router,
                                               ServerOptions options = {});
  virtual ~Server() = default;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  [[nodiscard]] virtual std::size_t connections() const = 0;

 protected:
  Server() = default;
};

}  // namespace cellrun::http
