// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/secrets.h"

#include "broker/journal/redact.h"

namespace cellrun::approvals {
namespace {

bool HideValue(const std::string& name, std::string& value) {
  std::vector<std::string> assignment = {"env", name + "=" + value};
  if (value.empty() || !journal::Redact(assignment)) return false;
  value = journal::kRedacted;
  return true;
}

}  // namespace

bool HideSecrets(Ask& ask) {
  bool hidden = journal::Redact(ask.argv);
  hidden = journal::Redact(ask.original_argv) || hidden;
  for (EnvironmentChange& change : ask.environment) {
    hidden = HideValue(change.name, change.before) || hidden;
    hidden = HideValue(change.name, change.after) || hidden;
  }
  return hidden;
}

}  // namespace cellrun::approvals
