// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/command_line.h"

#include <nlohmann/json.hpp>

#include "lib/base/check.h"
#include "lib/base/text.h"
#include "lib/policy/network_target.h"

namespace cellrun::cells {
namespace {

constexpr std::size_t kMaxDestinations = 256;
constexpr char kOrigin[] = "--net";

nlohmann::json RuleOf(const std::string& destination) {
  const Result<policy::NetworkTarget> target = policy::ParseEndpoint(destination);
  CHECK(target.ok());
  nlohmann::json rule = {{"name", std::string(kOrigin) + " " + destination},
                         {"to", policy::WithoutPorts(destination)},
                         {"then", "allow"}};
  if (target->ports) rule["ports"] = {destination.substr(destination.rfind(':') + 1)};
  return rule;
}

}  // namespace

Result<void> CheckNetwork(const wire::RunRequest& request) {
  if (request.network.size() > kMaxDestinations)
    return Error(EINVAL, "", "network: more than 256 destinations");
  for (const std::string& destination : request.network) {
    const Result<policy::NetworkTarget> target = policy::ParseEndpoint(destination);
    if (!target.ok())
      return Error(EINVAL, "",
                   "network: " + text::Quote(destination) + ": " + target.error().operation());
  }
  return {};
}

std::optional<policy::Source> CommandLineDocument(const wire::RunRequest& request) {
  if (request.network.empty()) return std::nullopt;
  nlohmann::json rules = nlohmann::json::array();
  for (const std::string& destination : request.network) rules.push_back(RuleOf(destination));
  // JSON is YAML; ASCII, so that nothing in it is special.
  const nlohmann::json document = {{"cellrun", 1}, {"network", {{"rules", rules}}}};
  return policy::Source{.name = kOrigin,
                        .origin = kOrigin,
                        .text = document.dump(-1, ' ', true) + "\n",
                        .layer = policy::Layer::kCommandLine};
}

}  // namespace cellrun::cells
