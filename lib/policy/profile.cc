// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/profile.h"

namespace cellrun::policy {

const char* ActionName(Action action) {
  switch (action) {
    case Action::kAllow:
      return "allow";
    case Action::kAsk:
      return "ask";
    case Action::kDeny:
      return "deny";
  }
  return "deny";
}

const char* StrategyName(Strategy strategy) {
  switch (strategy) {
    case Strategy::kInPlace:
      return "in-place";
    case Strategy::kMirror:
      return "mirror";
    case Strategy::kGhost:
      return "ghost";
  }
  return "in-place";
}

const char* AuditLevelName(AuditLevel level) {
  switch (level) {
    case AuditLevel::kAll:
      return "all";
    case AuditLevel::kDenied:
      return "denied";
    case AuditLevel::kNone:
      return "none";
  }
  return "all";
}

const char* WorkspaceModeName(WorkspaceMode mode) {
  switch (mode) {
    case WorkspaceMode::kReadWrite:
      return "rw";
    case WorkspaceMode::kReadOnly:
      return "ro";
    case WorkspaceMode::kOverlay:
      return "overlay";
    case WorkspaceMode::kSnapshot:
      return "snapshot";
  }
  return "ro";
}

}  // namespace cellrun::policy
