// SPDX-License-Identifier: Apache-2.0
#include "launcher/text_verbs.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "launcher/client/error_form.h"
#include "launcher/options/completion.h"
#include "launcher/options/help.h"
#include "launcher/output/rows.h"
#include "lib/base/text.h"
#include "lib/base/version.h"

namespace cellrun::launcher {
namespace {

constexpr int kUsageError = 2;

int PrintText(std::string_view text) {
  return output::Print(text) ? 0 : 1;
}

}  // namespace

int VersionVerb(const std::string& output) {
  if (output == "json") {
    const nlohmann::json version = {{"cellrun", kVersion}, {"build", kBuildId}};
    return PrintText(output::Document(version, output::Format::kJson));
  }
  return PrintText(std::string("cellrun ") + kVersion + " (" + kBuildId + ")\n");
}

int CompletionVerb(const std::string& name) {
  const auto shell = options::ShellFromName(name);
  if (shell) return PrintText(options::CompletionScript(*shell));
  PrintError({"there is no completion for " + text::Quote(name), "there are: bash, zsh, fish",
              "cellrun completion bash"});
  return kUsageError;
}

int HelpVerb(const std::vector<std::string>& words) {
  if (words.empty()) return PrintText(options::Overview());
  std::string name;
  for (const std::string& word : words) name += (name.empty() ? "" : " ") + word;
  if (const auto text = options::TopicHelp(name)) return PrintText(*text);
  const std::string_view near = options::NearestTopic(name);
  PrintError({"there is no help for " + text::Quote(name), "",
              near.empty() ? "cellrun help" : "cellrun help " + std::string(near)});
  return kUsageError;
}

int HelpOption(const options::Arguments& arguments, bool full) {
  if (arguments.implied_run) return PrintText(full ? options::Overview() : options::Usage());
  // `cellrun profile --help` is `cellrun help profile`.
  const bool asks_help = arguments.verb->id == options::VerbId::kHelp;
  if (asks_help && !arguments.words.empty()) return HelpVerb(arguments.words);
  return PrintText(full ? options::FullHelp(*arguments.verb) : options::ShortHelp(*arguments.verb));
}

}  // namespace cellrun::launcher
