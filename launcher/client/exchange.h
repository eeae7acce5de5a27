// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "launcher/client/http.h"
#include "launcher/client/http_response.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::client {

// One request on the broker's api.sock, for programs that wait for several things at once. Errors
// are those of Call.
class Exchange {
 public:
  // Connects and sends; `request` must fit a socket's buffer. EAGAIN: the broker takes nobody.
  static Result<Exchange> Start(const std::string& socket_path, const HttpRequest& request);

  [[nodiscard]] const UniqueFd& socket() const { return socket_; }  // wait for it to be readable
  // Appends what has come of the body, at most about 64 KiB a call; never waits.
  Result<void> Read(std::string& body);
  [[nodiscard]] bool done() const { return parser_.done(); }
  [[nodiscard]] int status() const { return parser_.status(); }  // 0: not known yet

 private:
  explicit Exchange(UniqueFd socket) : socket_(std::move(socket)) {}
  UniqueFd socket_;
  ResponseParser parser_;
};

}  // namespace cellrun::client
