// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/unique_fd.h"
#include "tests/support/capture.h"

namespace cellrun::test {

// A network of the test's own: it, the broker that it starts and their cells are in a namespace
// whose only way out is a cable to the **world**, another namespace in which every address of IPv4
// and IPv6 is local. What goes over the cable, or over the loopback, is captured.
//
// To be made before the case starts anything. An ordinary user gets a user namespace for it, with
// its own number; the programs that the test starts have no capability there, as ever. The case
// stays in it until it ends.
class Laboratory {
 public:
  Laboratory();

  // Runs it in a thread that is in the world: sockets that it makes stay there.
  void InWorld(const std::function<void()>& make) const;
  [[nodiscard]] Capture& capture() { return *capture_; }

  // The two ends of the cable, in the host's namespace and in the world.
  static constexpr char kHost[] = "198.51.100.2", kWorld[] = "198.51.100.1";
  static constexpr char kHost6[] = "2001:db8:100::2", kWorld6[] = "2001:db8:100::1";

 private:
  UniqueFd world_;
  std::optional<Capture> capture_;
};

}  // namespace cellrun::test
