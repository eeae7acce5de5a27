// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/tool_rules.h"

#include <algorithm>

namespace cellrun::policy {

void AddToolRules(Profile& profile) {
  auto place = std::find_if(profile.command_rules.begin(), profile.command_rules.end(),
                            [](const CommandRule& rule) {
                              return rule.layer == Layer::kProfile ||
                                     rule.layer == Layer::kInherited;
                            });
  for (const Tool& tool : profile.tools) {
    CommandRule rule;
    rule.name = "tool " + tool.name;
    rule.when.exe = {std::string(&kToolsDirectory[0]) + "/" + tool.name};
    rule.then = Action::kAllow;
    rule.run = tool.run;
    if (tool.run == Strategy::kGhost) rule.ghost = tool.ghost;
    rule.at = tool.at;
    place = profile.command_rules.insert(place, std::move(rule)) + 1;
  }
}

}  // namespace cellrun::policy
