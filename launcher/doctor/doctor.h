// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "launcher/doctor/probe.h"
#include "launcher/doctor/self_test.h"

namespace cellrun::doctor {

struct DoctorOptions {
  bool self_test = true;
  std::string output = "table";  // json, jsonl, yaml
  std::string color = "auto";
};

// `cellrun doctor`: looks, attacks, prints. 1: something required is missing, the self-test could
// not run, or an attack succeeded.
int Doctor(const DoctorOptions& options);

// {"cellrun", "build", "ok", "features": [{"group", "name", "need", "state", "detail", "cost",
// "fix"}], "self_test": {"ran", "problem", "attacks": [{"name", "what", "outcome", "detail"}]}}.
// Without a self-test, "self_test" is null. Fields may be added, never renamed.
nlohmann::json ToJson(const std::vector<Finding>& findings, const SelfTest* test);

// Whether everything required is there and every attack that was tried held.
bool IsSound(const std::vector<Finding>& findings, const SelfTest* test);

}  // namespace cellrun::doctor
