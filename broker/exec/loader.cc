// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/loader.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace cellrun::exec {
namespace {

enum class Option { kFlag, kValue, kName, kNothing, kRefused };
struct OptionEntry {
  std::string_view name;
  Option option;
};

// --preload and --audit run code of any file inside the program that was judged. A bare "--" means
// different things to the two loaders. What is not listed here is refused as well.
constexpr std::array kOptions = {
    OptionEntry{"--list", Option::kFlag},
    OptionEntry{"--verify", Option::kFlag},
    OptionEntry{"--inhibit-cache", Option::kFlag},
    OptionEntry{"--library-path", Option::kValue},
    OptionEntry{"--inhibit-rpath", Option::kValue},
    OptionEntry{"--glibc-hwcaps-prepend", Option::kValue},
    OptionEntry{"--glibc-hwcaps-mask", Option::kValue},
    OptionEntry{"--argv0", Option::kName},
    OptionEntry{"--list-tunables", Option::kNothing},
    OptionEntry{"--list-diagnostics", Option::kNothing},
    OptionEntry{"--help", Option::kNothing},
    OptionEntry{"--version", Option::kNothing},
};

Option FindOption(std::string_view name) {
  const auto* const found =
      std::find_if(kOptions.begin(), kOptions.end(),
                   [&](const OptionEntry& entry) { return entry.name == name; });
  return found == kOptions.end() ? Option::kRefused : found->option;
}

LoaderCommand Refuse(const std::string& option) {
  LoaderCommand command;
  command.refused = option;
  return command;
}

}  // namespace

LoaderCommand ParseLoaderCommand(std::span<const std::string> argv) {
  std::optional<std::string> name;
  std::size_t at = 1;
  for (; at < argv.size() && argv[at].starts_with("--"); ++at) {
    // musl also takes the value after '='; glibc refuses that form by itself.
    const std::size_t equals = argv[at].find('=');
    const Option option = FindOption(argv[at].substr(0, equals));
    const bool inline_value = equals != std::string::npos;
    if (option == Option::kRefused) return Refuse(argv[at]);
    if (inline_value && option != Option::kValue && option != Option::kName)
      return Refuse(argv[at]);
    if (option == Option::kNothing) return {.kind = LoaderCommand::Kind::kNothing};
    if (option == Option::kFlag) continue;
    if (!inline_value && at + 1 >= argv.size()) return Refuse(argv[at]);
    const std::string value = inline_value ? argv[at].substr(equals + 1) : argv[at + 1];
    if (option == Option::kName) name = value;
    if (!inline_value) ++at;
  }
  if (at >= argv.size()) return {.kind = LoaderCommand::Kind::kNothing};
  // Without a slash the program is searched for in library directories.
  if (argv[at].find('/') == std::string::npos) return Refuse(argv[at]);
  LoaderCommand command{.kind = LoaderCommand::Kind::kProgram, .program = at};
  command.argv.assign(argv.begin() + static_cast<std::ptrdiff_t>(at), argv.end());
  if (name.has_value()) command.argv[0] = *name;
  return command;
}

}  // namespace cellrun::exec
