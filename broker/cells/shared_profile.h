// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "lib/policy/policy.h"

namespace cellrun::cells {

// A profile and what keeps it: most cells share one, of 100 KiB and more.
using SharedProfile = std::shared_ptr<const policy::Profile>;

inline SharedProfile ProfileOf(std::shared_ptr<const policy::Policy> policy) {
  const policy::Profile* profile = &policy->profile();
  return {std::move(policy), profile};
}

}  // namespace cellrun::cells
