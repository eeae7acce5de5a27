// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::net {

// Unconnected sockets of a cell's own network, which its init hands out: a few are kept, since a
// new connection should not wait for init. Not thread-safe.
class CellSockets {
 public:
  static constexpr int kSpare = 4;  // of each family
  // Has init make `count` of a family; each comes back through Give.
  using Order = std::function<void(int family, int count)>;
  explicit CellSockets(Order order) : order_(std::move(order)) {}

  // One of each family; the IPv6 one is missing where the kernel has none.
  struct Pair {
    UniqueFd four, six;
  };
  using Taken = std::function<void(Result<Pair>)>;
  // `taken` comes once, perhaps at once; never after Clear.
  void Take(Taken taken);
  void Give(int family, Result<UniqueFd> made);
  void Fill();  // to kSpare
  // Closes one of those that are kept. false: there is none.
  bool Shrink();
  void Clear();

 private:
  struct Stock {
    std::vector<UniqueFd> sockets{};
    int ordered = 0;
    bool missing = false;  // the kernel has no such family
  };
  Stock& Of(int family);
  void Serve();

  Order order_;
  std::array<Stock, 2> stocks_;
  std::deque<Taken> waiting_;
};

}  // namespace cellrun::net
