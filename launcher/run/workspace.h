// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <variant>
#include <vector>

#include "launcher/client/error_form.h"

namespace cellrun::launcher {

struct Workspace {
  std::string path;               // canonical, absolute
  std::string working_directory;  // the current directory if it lies inside, else `path`
  bool read_only = false;         // the caller cannot write there
};

// Who chooses and where: filled from the process by HereAndNow, by hand in tests.
struct WorkspaceContext {
  std::string current_directory;  // canonical; "" if it cannot be reached
  uid_t uid = 0;
  std::vector<std::string>
      homes;  // canonical home directories of every user, the caller's included
  std::vector<std::string>
      forbidden;  // runtime and state directories: neither in, below nor around them
};
WorkspaceContext HereAndNow();

// The project directory a cell works on. `asked` (as typed) or, if it is "", the enclosing git
// project that belongs to the caller, else the current directory. Everything is judged after links
// are resolved.
std::variant<Workspace, ErrorForm> ChooseWorkspace(const std::string& asked,
                                                   const WorkspaceContext& context);

// The real path of an existing file or directory, for --read and --write.
std::variant<std::string, ErrorForm> ResolveGrant(const std::string& option,
                                                  const std::string& path);

}  // namespace cellrun::launcher
