// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/environment.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "lib/policy/glob.h"

namespace cellrun::cells {

std::vector<std::string> CellEnvironment(const policy::Profile& profile,
                                         const wire::RunRequest& request, const std::string& user,
                                         const std::string& cell_id) {
  std::vector<policy::Glob> pass;
  for (const auto& entry : profile.environment_pass) {
    Result<policy::Glob> glob = policy::Glob::Compile(entry.value, policy::GlobKind::kArgument);
    if (glob.ok()) pass.push_back(std::move(glob).value());
  }
  std::map<std::string, std::string> variables;
  for (const std::string& entry : request.environment) {
    const std::size_t equals = entry.find('=');
    if (equals == std::string::npos || equals == 0) continue;
    const std::string name = entry.substr(0, equals);
    const bool passes = std::any_of(pass.begin(), pass.end(),
                                    [&](const policy::Glob& glob) { return glob.Matches(name); });
    if (passes)
      variables.emplace(name, entry.substr(equals + 1));  // of duplicates the first, as getenv does
  }

  variables["USER"] = variables["LOGNAME"] = user;
  variables["HOME"] = request.home;
  variables["SHELL"] = "/bin/bash";
  variables["TMPDIR"] = "/tmp";
  if (!request.term.empty()) variables["TERM"] = request.term;
  if (!variables.contains("LANG")) variables["LANG"] = "C.UTF-8";
  std::string path;
  for (const auto& directory : profile.path) path += directory.value + ":";
  variables["PATH"] = path + "/run/cellrun/tools";
  for (const auto& [name, value] : profile.environment_set) variables[name] = value.value;
  for (const auto& [name, value] : request.set_environment) variables[name] = value;

  variables["CELLRUN"] = "1";
  variables["CELLRUN_CELL"] = cell_id;
  variables["CELLRUN_PROFILE"] = profile.name.empty() ? request.profile : profile.name;
  variables["CELLRUN_DENIALS"] = "/run/cellrun/denials.jsonl";

  std::vector<std::string> environment;
  for (const auto& [name, value] : variables) environment.push_back(name + "=" + value);
  return environment;
}

}  // namespace cellrun::cells
