// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lib/base/unique_fd.h"

namespace cellrun::test {

// A host's network for one case: a network namespace of its own with a loopback that has these
// addresses beside its own, and no way to anywhere else. A command that enters it before its exec
// is on that host; an ordinary user stays who it is (in a user namespace).
class Network {
 public:
  struct Shape {
    std::vector<std::string> addresses = {};  // of the loopback
    bool ipv6 = true;
    std::string resolv_conf = {};  // a file that is /etc/resolv.conf there; "" for the real one
  };
  // Fails the running test when the kernel does not let it have one.
  explicit Network(const Shape& shape);
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  // For Options::in_child.
  [[nodiscard]] std::function<void()> Enter() const;
  // A socket of it, bound there; `type` as of socket(2). Invalid, and the test fails, when that is
  // not possible.
  UniqueFd Bound(int type, const std::string& address, std::uint16_t port = 0) const;

 private:
  [[noreturn]] static void Hold(const Shape& shape, const UniqueFd& orders);
  pid_t holder_ = -1;
  UniqueFd orders_, user_, network_, mounts_;
};

}  // namespace cellrun::test
