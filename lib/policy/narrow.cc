// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/narrow.h"

#include <limits>
#include <string>

#include "lib/policy/units.h"

namespace cellrun::policy {
namespace {

// How much a value lets through: less is narrower.
double Width(Action action) {
  return 2 - static_cast<double>(action);
}
double Width(WorkspaceMode mode) {
  switch (mode) {
    case WorkspaceMode::kReadWrite:
      return 2;
    case WorkspaceMode::kOverlay:
    case WorkspaceMode::kSnapshot:
      return 1;
    case WorkspaceMode::kReadOnly:
      return 0;
  }
  return 2;
}
double Width(AuditLevel level) {
  return static_cast<double>(level);  // all, denied, none
}
double Width(bool redact) {
  return redact ? 0 : 1;
}
double Width(std::uint64_t amount) {
  return static_cast<double>(amount);
}
double Width(double amount) {
  return amount;
}
double Width(std::chrono::milliseconds duration) {
  return static_cast<double>(duration.count());
}

std::string Text(Action action) {
  return ActionName(action);
}
std::string Text(WorkspaceMode mode) {
  return WorkspaceModeName(mode);
}
std::string Text(AuditLevel level) {
  return AuditLevelName(level);
}
std::string Text(bool redact) {
  return redact ? "redact" : "full";
}
std::string Text(std::uint64_t amount) {
  return std::to_string(amount);
}
std::string Text(double amount) {
  return std::to_string(amount);
}
std::string Text(std::chrono::milliseconds duration) {
  return FormatDuration(duration);
}

// Calls `visit(key, bound, value)` for each bounded value that `bounds` says; `value` is where it
// stands in `profile`, null if nothing limits it there.
template <typename Visit>
class BoundedValues {
 public:
  BoundedValues(const Profile& bounds, Profile* profile, Visit visit)
      : bounds_(bounds), profile_(*profile), visit_(visit) {}

  void Run() {
    Value("commands.default", bounds_.command_default, &profile_.command_default);
    Value("network.default", bounds_.network_default, &profile_.network_default);
    Value("filesystem.workspace", bounds_.filesystem.workspace, &profile_.filesystem.workspace);
    Value("filesystem.tmp", bounds_.filesystem.tmp_bytes, &profile_.filesystem.tmp_bytes);
    const Limits& limits = bounds_.limits;
    Limit("limits.memory", limits.memory_bytes, &profile_.limits.memory_bytes);
    Limit("limits.processes", limits.processes, &profile_.limits.processes);
    Limit("limits.cpus", limits.cpus, &profile_.limits.cpus);
    Limit("limits.files", limits.files, &profile_.limits.files);
    Limit("limits.time", limits.time, &profile_.limits.time);
    Limit("limits.output", limits.output_bytes, &profile_.limits.output_bytes);
    Value("approvals.timeout", bounds_.approval_timeout, &profile_.approval_timeout);
    Value("approvals.on-timeout", bounds_.approval_on_timeout, &profile_.approval_on_timeout);
    Value("approvals.pending", bounds_.approvals_pending, &profile_.approvals_pending);
    Value("audit.commands", bounds_.audit_commands, &profile_.audit_commands);
    Value("audit.arguments", bounds_.audit_redact, &profile_.audit_redact);
    Value("audit.network", bounds_.audit_network, &profile_.audit_network);
  }

 private:
  template <typename T>
  void Value(const char* key, const Placed<T>& bound, Placed<T>* value) {
    if (bound.at.line != 0) visit_(key, bound, value);
  }
  template <typename T>
  void Limit(const char* key, const std::optional<Placed<T>>& bound,
             std::optional<Placed<T>>* value) {
    if (!bound) return;
    if (!*value) {
      *value = *bound;
    } else {
      visit_(key, *bound, &**value);
    }
  }

  const Profile& bounds_;
  Profile& profile_;
  Visit visit_;
};

template <typename Visit>
void ForEachBounded(const Profile& bounds, Profile* profile, Visit visit) {
  BoundedValues<Visit>(bounds, profile, visit).Run();
}

template <typename T>
void Lower(const std::optional<Placed<T>>& bound, std::optional<Placed<T>>* value) {
  if (bound && *value && Width(bound->value) < Width((*value)->value)) *value = *bound;
}

// What is not given is the cell's, which has its own bounds.
void LowerGiven(const Limits& bounds, Limits* limits) {
  Lower(bounds.memory_bytes, &limits->memory_bytes);
  Lower(bounds.processes, &limits->processes);
  Lower(bounds.cpus, &limits->cpus);
  Lower(bounds.files, &limits->files);
  Lower(bounds.time, &limits->time);
  Lower(bounds.output_bytes, &limits->output_bytes);
}

}  // namespace

void ApplyOverlay(const Profile& overlay, Profile* profile, std::vector<Problem>* problems) {
  ForEachBounded(overlay, profile, [&](const char* key, const auto& bound, auto* value) {
    const bool narrower = Width(bound.value) < Width(value->value);
    if (narrower || bound.value == value->value) {
      if (narrower) *value = bound;
      return;
    }
    problems->push_back({bound.at,
                         "'" + std::string(key) + ": " + Text(bound.value) +
                             "' is not narrower than the profile's " + Text(value->value),
                         "only what narrows, unless you read this file and ran `cellrun trust`",
                         ""});
  });
}

void ApplyFloor(const Profile& floor, Profile* profile) {
  ForEachBounded(floor, profile, [](const char*, const auto& bound, auto* value) {
    if (Width(bound.value) < Width(value->value)) *value = bound;
  });
}

void BoundGhosts(const Limits& bounds, Profile* profile) {
  for (CommandRule& rule : profile->command_rules) {
    if (rule.ghost) LowerGiven(bounds, &rule.ghost->limits);
  }
  for (Tool& tool : profile->tools) LowerGiven(bounds, &tool.ghost.limits);
}

}  // namespace cellrun::policy
