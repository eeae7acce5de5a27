// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "launcher/client/error_form.h"
#include "lib/base/result.h"

namespace cellrun::client {

// Whether this process is in a cell whose broker can be talked to.
bool IsInside();
// What a verb says there that is for people outside, once it has found no broker.
launcher::ErrorForm NotFromInside();
// One message to it, and its answer, where that is no refusal. ENOENT: this is not a cell. The
// broker's words are the error's context, with the errno that it names.
Result<nlohmann::json> TellBroker(const nlohmann::json& message);

}  // namespace cellrun::client
