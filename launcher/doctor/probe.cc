// SPDX-License-Identifier: Apache-2.0
#include "launcher/doctor/probe.h"

#include <array>

#include "lib/base/result.h"

namespace cellrun::doctor {

const char* StateName(State state) {
  switch (state) {
    case State::kPresent:
      return "present";
    case State::kMissing:
      return "missing";
    case State::kNotNeeded:
      return "not needed";
  }
  return "?";
}

const char* NeedName(Need need) {
  switch (need) {
    case Need::kRequired:
      return "required";
    case Need::kRecommended:
      return "recommended";
    case Need::kInformation:
      return "information";
  }
  return "?";
}

Observation Present(std::string detail) {
  return {.state = State::kPresent, .detail = std::move(detail), .fix = ""};
}

Observation Missing(std::string detail, std::string fix) {
  return {.state = State::kMissing, .detail = std::move(detail), .fix = std::move(fix)};
}

Observation MissingWithError(int code, const std::string& doing, std::string fix) {
  return Missing(doing + ": " + ErrnoText(code), std::move(fix));
}

std::vector<Finding> LookAtEverything() {
  const std::array groups = {NamespaceProbes(),   MountProbes(),    SupervisionProbes(),
                             ConfinementProbes(), ResourceProbes(), InstallationProbes()};
  std::vector<Finding> findings;
  for (const auto& group : groups) {
    for (const Probe& probe : group) {
      Observation seen = probe.look();
      Finding finding{.group = probe.group,
                      .name = probe.name,
                      .need = probe.need,
                      .state = seen.state,
                      .detail = std::move(seen.detail),
                      .cost = "",
                      .fix = ""};
      if (seen.state == State::kMissing) {
        finding.cost = probe.cost;
        finding.fix = seen.fix.empty() ? probe.fix : seen.fix;
      }
      findings.push_back(std::move(finding));
    }
  }
  return findings;
}

}  // namespace cellrun::doctor
