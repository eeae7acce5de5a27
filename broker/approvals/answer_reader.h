// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "broker/approvals/book.h"
#include "lib/base/result.h"

namespace cellrun::approvals {

// The body of an answer (docs/api.md). EINVAL: the context says which member is wrong.
Result<Answer> ReadAnswer(const std::string& body);

}  // namespace cellrun::approvals
