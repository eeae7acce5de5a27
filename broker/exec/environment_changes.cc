// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/environment_changes.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <utility>

namespace cellrun::exec {
namespace {

constexpr std::array<std::string_view, 56> kNames{
    // What is looked up, and in which form.
    "PATH",
    "CDPATH",
    "HOME",
    "SHELL",
    "IFS",
    "TMPDIR",
    "TERMINFO",
    "LOCPATH",
    "NLSPATH",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_CONFIG_DIRS",
    "HOSTALIASES",
    "RES_OPTIONS",
    "LOCALDOMAIN",
    // Read by shells before they begin.
    "ENV",
    "BASH_ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "PROMPT_COMMAND",
    "ZDOTDIR",
    // Programs that others start.
    "EDITOR",
    "VISUAL",
    "PAGER",
    "MANPAGER",
    "BROWSER",
    "LESSOPEN",
    "LESSCLOSE",
    "SYSTEMD_PAGER",
    "SUDO_ASKPASS",
    "RSYNC_RSH",
    "CVS_RSH",
    "TAR_OPTIONS",
    "GZIP",
    // Compilers and build tools.
    "CC",
    "CXX",
    "LD",
    "AR",
    "CPP",
    "MAKEFLAGS",
    "MFLAGS",
    "CFLAGS",
    "CXXFLAGS",
    "LDFLAGS",
    "CMAKE_TOOLCHAIN_FILE",
    "PKG_CONFIG_PATH",
    "RUSTC",
    "RUSTFLAGS",
    // Run-time systems with one variable.
    "CLASSPATH",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "MAVEN_OPTS",
    "GEM_HOME",
    "GCONV_PATH",
};

constexpr std::array<std::string_view, 35> kPrefixes{
    "LD_",     "MALLOC_",  "GLIBC_",   "BASH_FUNC_", "GIT_",  "SSH_",      "GPG_",
    "PYTHON",  "NODE_",    "NPM_",     "npm_",       "YARN_", "COREPACK_", "PERL",
    "RUBY",    "BUNDLE_",  "GEM_",     "PHP",        "LUA_",  "GO",        "CARGO_",
    "RUSTUP_", "DOTNET_",  "COMPLUS_", "PIP_",       "UV_",   "POETRY_",   "CURL_",
    "SSL_",    "OPENSSL_", "AWS_",     "DOCKER_",    "KUBE",  "ANSIBLE_",  "TERRAFORM_",
};

bool ContainsProxy(std::string_view name) {
  std::string upper(name);
  std::transform(upper.begin(), upper.end(), upper.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return upper.find("PROXY") != std::string::npos;
}

// The values of each name, each once.
using Variables = std::map<std::string_view, std::vector<std::string_view>>;

bool Any(std::string_view /*name*/) {
  return true;
}

Variables Parse(const std::vector<std::string>& strings, bool (*counts)(std::string_view name)) {
  Variables variables;
  for (const std::string_view text : strings) {
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = text.substr(0, equals);
    if (!counts(name)) continue;
    const std::string_view value = text.substr(equals + 1);
    std::vector<std::string_view>& values = variables[name];
    if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
  }
  return variables;
}

std::vector<approvals::EnvironmentChange> Changes(const Variables& old, const Variables& now) {
  std::map<std::string_view, std::vector<approvals::EnvironmentChange>> changes;
  for (const auto& [name, values] : now) {
    const auto found = old.find(name);
    if (found != old.end() && found->second == values) continue;
    for (const std::string_view value : values) {
      changes[name].push_back(
          {.name = std::string(name),
           .was_set = found != old.end(),
           .is_set = true,
           .before = found != old.end() ? std::string(found->second.front()) : "",
           .after = std::string(value)});
    }
  }
  for (const auto& [name, values] : old) {
    if (now.contains(name)) continue;
    changes[name].push_back({.name = std::string(name),
                             .was_set = true,
                             .is_set = false,
                             .before = std::string(values.front()),
                             .after = ""});
  }
  std::vector<approvals::EnvironmentChange> list;
  for (auto& [name, of_name] : changes) {
    std::move(of_name.begin(), of_name.end(), std::back_inserter(list));
  }
  return list;
}

}  // namespace

bool IsVariableThatMatters(std::string_view name) {
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end() ||
         std::any_of(kPrefixes.begin(), kPrefixes.end(),
                     [&](std::string_view prefix) { return name.starts_with(prefix); }) ||
         ContainsProxy(name);
}

std::vector<approvals::EnvironmentChange> ChangesThatMatter(const std::vector<std::string>& before,
                                                            const std::vector<std::string>& after) {
  return Changes(Parse(before, IsVariableThatMatters), Parse(after, IsVariableThatMatters));
}

std::vector<approvals::EnvironmentChange> AllChanges(const std::vector<std::string>& before,
                                                     const std::vector<std::string>& after) {
  return Changes(Parse(before, Any), Parse(after, Any));
}

}  // namespace cellrun::exec
