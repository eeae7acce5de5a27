// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/import/imported.h"
#include "lib/policy/load.h"
#include "lib/policy/source.h"

namespace cellrun::import {

// The text of a profile that decides every command as the Clawrden policy in `source` does, or more
// strictly; its comments say where. Problems: what in the policy is wrong, or cannot be said in a
// profile without being looser.
policy::Checked<Imported> ImportClawrden(const policy::Source& source);

}  // namespace cellrun::import
