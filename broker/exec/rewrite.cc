// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/rewrite.h"

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "lib/policy/glob.h"

namespace cellrun::exec {
namespace {

Result<std::vector<policy::Glob>> CompileAll(const std::vector<std::string>& patterns) {
  std::vector<policy::Glob> globs;
  for (const std::string& pattern : patterns) {
    globs.push_back(TRY(policy::Glob::Compile(pattern, policy::GlobKind::kArgument)));
  }
  return globs;
}

bool AnyMatches(const std::vector<policy::Glob>& globs, std::string_view text) {
  return std::any_of(globs.begin(), globs.end(),
                     [&](const policy::Glob& glob) { return glob.Matches(text); });
}

std::string_view NameOf(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

}  // namespace

Result<void> ApplyRewrite(const policy::Rewrite& rewrite, std::vector<std::string>* argv,
                          std::vector<std::string>* env) {
  CHECK(!argv->empty());
  const std::vector<policy::Glob> remove = TRY(CompileAll(rewrite.args_remove));
  const std::vector<policy::Glob> drop = TRY(CompileAll(rewrite.env_drop));
  std::vector<std::string> arguments = {argv->front()};
  arguments.insert(arguments.end(), rewrite.args_prepend.begin(), rewrite.args_prepend.end());
  std::copy_if(argv->begin() + 1, argv->end(), std::back_inserter(arguments),
               [&](const std::string& argument) { return !AnyMatches(remove, argument); });
  arguments.insert(arguments.end(), rewrite.args_append.begin(), rewrite.args_append.end());
  *argv = std::move(arguments);

  std::erase_if(*env, [&](const std::string& variable) {
    const std::string_view name = NameOf(variable);
    return AnyMatches(drop, name) ||
           std::any_of(rewrite.env_set.begin(), rewrite.env_set.end(),
                       [&](const auto& set) { return set.first == name; });
  });
  for (const auto& [name, value] : rewrite.env_set) env->push_back(name + "=" + value);
  return {};
}

}  // namespace cellrun::exec
