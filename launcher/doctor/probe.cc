// SPDX-License-Identifier: Apache-2.0
#include "launcher/doctor/probe.h"

#include <algorithm>
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
    case State::kUnknown:
      return "unknown";
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

Finding LookAt(const Probe& probe, const std::vector<Finding>& earlier) {
  Observation seen = probe.look();
  const bool blocked = std::any_of(earlier.begin(), earlier.end(), [&](const Finding& finding) {
    return finding.name == probe.needs && finding.state != State::kPresent;
  });
  // What stands in its way is reported already, with what helps.
  if (seen.state == State::kMissing && blocked)
    seen = {.state = State::kUnknown, .detail = std::string("needs ") + probe.needs, .fix = ""};
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
  return finding;
}

std::vector<Finding> LookAtEverything() {
  const std::array groups = {NamespaceProbes(),   MountProbes(),    SupervisionProbes(),
                             ConfinementProbes(), ResourceProbes(), InstallationProbes()};
  std::vector<Finding> findings;
  for (const auto& group : groups) {
    for (const Probe& probe : group) {
      findings.push_back(LookAt(probe, findings));
    }
  }
  return findings;
}

}  // namespace cellrun::doctor
