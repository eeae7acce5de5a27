// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/cells/registry.h"
#include "broker/loop/loop.h"
#include "lib/base/unique_fd.h"

namespace cellrun::cells {

// listener.sock: where OCI runtimes send the seccomp listener of a container that they start for
// us. A connection has five seconds and 64 KiB to say one whole containerProcessState; the token in
// it finds the cell. Only on the loop's thread.
class ListenerServer {
 public:
  ListenerServer(loop::Loop& loop, Registry& registry, UniqueFd socket);

 private:
  struct Connection {
    UniqueFd socket;
    std::string text;
    std::vector<UniqueFd> fds;
    std::unique_ptr<loop::Loop::Watch> readable;
    std::unique_ptr<loop::Loop::Timer> deadline;
  };
  static constexpr std::size_t kMaxConnections = 16;

  void OnConnection();
  void OnReadable(std::uint64_t id);
  void Drop(std::uint64_t id);
  Result<void> Adopt(Connection& connection);

  loop::Loop& loop_;
  Registry& registry_;
  UniqueFd socket_;
  std::uint64_t next_id_ = 1;
  std::map<std::uint64_t, Connection> connections_;
  std::unique_ptr<loop::Loop::Watch> acceptable_;
};

}  // namespace cellrun::cells
