// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "broker/approvals/ask.h"

namespace cellrun::approvals {

// A person must see all of what waits; what is kept of it is without what looks like a secret, as
// in the journal (journal/redact.h). Whether something was replaced in arguments or variables.
bool HideSecrets(Ask& ask);

}  // namespace cellrun::approvals
