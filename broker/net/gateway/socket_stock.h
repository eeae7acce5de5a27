// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::net {

// Unbound sockets that belong to a cell's gateway namespace. A socket stays in the namespace in
// which it was made, so whoever holds it can listen there without being there. Thread-safe.
class SocketStock {
 public:
  enum class Kind : std::size_t { kTcp4, kTcp6, kUdp4, kUdp6 };
  static constexpr std::size_t kKinds = 4;

  // `user` owns `network`; `first` are sockets of it, in the order of wire::kGatewayBuilt.
  static Result<std::unique_ptr<SocketStock>> Make(UniqueFd user, UniqueFd network,
                                                   std::vector<UniqueFd> first);

  // Close-on-exec and non-blocking. When none is left a child enters the namespace and makes more,
  // which takes about a millisecond.
  Result<UniqueFd> Take(Kind kind);

 private:
  SocketStock(UniqueFd user, UniqueFd network)
      : user_(std::move(user)), network_(std::move(network)) {}
  Result<std::vector<UniqueFd>> MakeMore(Kind kind) const;

  const UniqueFd user_, network_;
  std::mutex mutex_;
  std::array<std::vector<UniqueFd>, kKinds> sockets_;  // guarded by mutex_
};

}  // namespace cellrun::net
