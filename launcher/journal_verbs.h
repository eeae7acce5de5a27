// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/options/arguments.h"

// The verbs of launcher/history and launcher/watch with their options from the command line. The
// exit status.
namespace cellrun::launcher {

int HistoryVerb(const options::Arguments& arguments);
int WhyVerb(const options::Arguments& arguments);
int ApprovalsWatchVerb(const options::Arguments& arguments);
int AuditVerifyVerb(const options::Arguments& arguments);
int AuditExportVerb(const options::Arguments& arguments);

}  // namespace cellrun::launcher
