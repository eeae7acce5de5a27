// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lib/base/result.h"
#include "lib/policy/profile.h"

namespace cellrun::exec {

// Applies a rule's `rewrite:`: arguments that match args-remove go first (never argv[0]), then
// args-prepend goes behind argv[0] and args-append to the end; variables that match env-drop go,
// then env-set is set. EINVAL: a glob that does not compile.
Result<void> ApplyRewrite(const policy::Rewrite& rewrite, std::vector<std::string>* argv,
                          std::vector<std::string>* env);

}  // namespace cellrun::exec
