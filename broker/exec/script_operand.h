// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace cellrun::exec {

// What an interpreter's own arguments say about the code that it will run.
struct ScriptOperand {
  enum class Kind {
    kNone,     // not an interpreter that is known here
    kScript,   // the file that `argument` names
    kInline,   // code in the arguments (`-c`), or from its standard input
    kUnclear,  // options that are not known here: it may read any file
  };
  Kind kind = Kind::kNone;
  std::size_t argument = 0;
};

// `program`: path of the image, by whose last part it is known: sh, bash, python3.11, node, …
ScriptOperand FindScriptOperand(std::string_view program, const std::vector<std::string>& argv);

}  // namespace cellrun::exec
