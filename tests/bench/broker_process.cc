// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/broker_process.h"

#include <fstream>
#include <nlohmann/json.hpp>

namespace cellrun::bench {

pid_t BrokerPid(const Setting& setting) {
  const Finished status =
      RunCommand({setting.prefix + "/bin/cellrun", "broker", "status", "-o", "json"});
  const auto json = nlohmann::json::parse(status.out, nullptr, false);
  return json.is_object() ? json.value("pid", 0) : 0;
}

long ResidentKib(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmRSS:")) return std::stol(line.substr(6));
  }
  return 0;
}

}  // namespace cellrun::bench
