// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/import/imported.h"
#include "lib/policy/load.h"
#include "lib/policy/source.h"

namespace cellrun::import {

// The firewall rules of a Clawker project (`security.firewall` of its YAML file, or only that
// section) as a profile that lets out nothing that Clawker would not; its comments say what
// differs. A host with rules for paths is denied and keeps them as the rule's reason: telling paths
// apart needs TLS inspection, which there is not. Problems: what in the file is wrong or means
// nothing here.
policy::Checked<Imported> ImportClawker(const policy::Source& source);

}  // namespace cellrun::import
