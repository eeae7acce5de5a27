// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "launcher/cell/steps.h"
#include "launcher/client/error_form.h"
#include "lib/base/result.h"
#include "lib/wire/launch.h"

// What a failed step means for a person: which setting of the host stands behind it, and what
// helps.
namespace cellrun::launcher {

// clone3, the id maps, and what belongs to them.
ErrorForm ExplainNamespaces(const Error& error);
// A call that the broker cannot do without failed with `error`.
ErrorForm ExplainSupervision(const Error& error);
ErrorForm ExplainIdMap(const wire::MountStep& step, const Error& error);
// "mount workspace /home/u/p: move_mount: Permission denied".
ErrorForm ExplainStep(const wire::CellPlan& plan, const Report& report);
std::string DescribeNote(const wire::CellPlan& plan, const Report& report);

}  // namespace cellrun::launcher
