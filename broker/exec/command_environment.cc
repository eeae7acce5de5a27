// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/command_environment.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "lib/policy/glob.h"

namespace cellrun::exec {
namespace {

constexpr std::array<std::string_view, 15> kDroppedPrefixes = {
    "LD_",        "GLIBC_TUNABLES",
    "GCONV_PATH", "MALLOC_",
    "BASH_",      "PYTHON",
    "PERL5",      "PERLLIB",
    "PERL_",      "RUBYOPT",
    "RUBYLIB",    "NODE_OPTIONS",
    "NODE_PATH",  "NODE_REPL_EXTERNAL_MODULE",
    "GIT_CONFIG"};

constexpr std::array<std::string_view, 34> kDropped = {"ENV",
                                                       "SHELLOPTS",
                                                       "BASHOPTS",
                                                       "PS4",
                                                       "PROMPT_COMMAND",
                                                       "IFS",
                                                       "CDPATH",
                                                       "GLOBIGNORE",
                                                       "ZDOTDIR",
                                                       "FPATH",
                                                       "JAVA_TOOL_OPTIONS",
                                                       "_JAVA_OPTIONS",
                                                       "JDK_JAVA_OPTIONS",
                                                       "CLASSPATH",
                                                       "LUA_INIT",
                                                       "LUA_PATH",
                                                       "LUA_CPATH",
                                                       "GIT_EXEC_PATH",
                                                       "GIT_SSH",
                                                       "GIT_SSH_COMMAND",
                                                       "GIT_ASKPASS",
                                                       "GIT_EDITOR",
                                                       "GIT_PAGER",
                                                       "GIT_EXTERNAL_DIFF",
                                                       "GIT_PROXY_COMMAND",
                                                       "GIT_TEMPLATE_DIR",
                                                       "GIT_SEQUENCE_EDITOR",
                                                       "SSH_ASKPASS",
                                                       "LESSOPEN",
                                                       "LESSCLOSE",
                                                       "TERMINFO",
                                                       "TERMINFO_DIRS",
                                                       "OPENSSL_CONF",
                                                       "OPENSSL_MODULES"};

bool IsDropped(std::string_view name) {
  return std::find(kDropped.begin(), kDropped.end(), name) != kDropped.end() ||
         std::any_of(kDroppedPrefixes.begin(), kDroppedPrefixes.end(),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

}  // namespace

std::vector<std::string> CommandEnvironment(const policy::Profile& profile,
                                            const std::vector<std::string>& environment) {
  std::vector<policy::Glob> drop;
  for (const auto& entry : profile.environment_drop) {
    Result<policy::Glob> glob = policy::Glob::Compile(entry.value, policy::GlobKind::kArgument);
    if (glob.ok()) drop.push_back(std::move(glob).value());
  }
  std::vector<std::string> kept;
  for (const std::string& entry : environment) {
    const std::string name = entry.substr(0, entry.find('='));
    const bool dropped = IsDropped(name) ||
                         std::any_of(drop.begin(), drop.end(),
                                     [&](const policy::Glob& glob) { return glob.Matches(name); });
    if (!dropped) kept.push_back(entry);
  }
  return kept;
}

}  // namespace cellrun::exec
