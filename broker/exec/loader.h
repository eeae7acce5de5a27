// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace cellrun::exec {

// What a dynamic loader is asked to do by its command line.
struct LoaderCommand {
  enum class Kind {
    kProgram,  // run `argv[program]`
    kNothing,  // no program: it prints something about itself
    kRefused,  // it loads code that no rule would see, or is not understood
  };
  Kind kind = Kind::kRefused;
  std::size_t program = 0;          // index into argv
  std::vector<std::string> argv{};  // what the program gets
  std::string refused{};            // the option, for the message
};

// The options of glibc's and musl's loaders. `argv`: of the loader itself.
LoaderCommand ParseLoaderCommand(std::span<const std::string> argv);

}  // namespace cellrun::exec
