// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace cellrun::watch {

struct Options {
  std::string api_socket;
  std::string color = "auto";  // "always", "never"
};

// `cellrun approvals watch`: the queue on the whole screen until the person leaves it. The exit
// status; 128+N when signal N ended it.
int Watch(const Options& options);

}  // namespace cellrun::watch
