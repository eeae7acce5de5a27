// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/options/arguments.h"

// The verbs of launcher/approvals with their options from the command line. The exit status.
namespace cellrun::launcher {

int ApprovalsListVerb(const options::Arguments& arguments);
int ApprovalsShowVerb(const options::Arguments& arguments);
int ApprovalsRulesVerb(const options::Arguments& arguments);
int ApprovalsReportVerb(const options::Arguments& arguments);
int ApproveVerb(const options::Arguments& arguments);
int DenyVerb(const options::Arguments& arguments);

}  // namespace cellrun::launcher
