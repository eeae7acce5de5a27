// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace cellrun::cells {

// Whether a git configuration file holds only keys that run nothing (git-config(1)): what `git
// init`, `git clone`, `git remote add` and `git branch` write. Anything that is not understood,
// includes and continued lines among it, counts as running something. `remote.*` is not harmless as
// a whole: uploadpack, receivepack, vcs, proxy and an `ext::` URL run commands.
bool GitConfigRunsNothing(std::string_view text);

}  // namespace cellrun::cells
