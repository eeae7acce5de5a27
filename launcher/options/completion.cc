// SPDX-License-Identifier: Apache-2.0
#include "launcher/options/completion.h"

#include <algorithm>

#include "launcher/options/completion_tables.h"

namespace cellrun::options {

bool IsOffered(const Option& option, const Verb& verb) {
  return Applies(option, verb) && option.support == Support::kNow;
}

std::string Joined(const std::vector<std::string_view>& words, std::string_view separator) {
  std::string out;
  for (const std::string_view word : words) {
    if (!out.empty()) out += separator;
    out += word;
  }
  return out;
}

std::vector<std::string_view> Groups() {
  std::vector<std::string_view> groups;
  for (const Verb& verb : AllVerbs()) {
    const std::string_view name = verb.name;
    const std::string_view group = name.substr(0, name.find(' '));
    const bool known = std::find(groups.begin(), groups.end(), group) != groups.end();
    if (group.size() < name.size() && !known) groups.push_back(group);
  }
  return groups;
}

std::vector<std::string_view> SubverbsOf(std::string_view group) {
  std::vector<std::string_view> subverbs;
  for (const Verb& verb : AllVerbs()) {
    const std::string_view name = verb.name;
    if (name.starts_with(std::string(group) + " ")) {
      subverbs.push_back(name.substr(group.size() + 1));
    }
  }
  return subverbs;
}

std::vector<std::string_view> SingleVerbs() {
  std::vector<std::string_view> singles;
  for (const Verb& verb : AllVerbs()) {
    const std::string_view name = verb.name;
    if (name.find(' ') == std::string_view::npos) singles.push_back(name);
  }
  return singles;
}

std::vector<std::string_view> FirstWords() {
  std::vector<std::string_view> words = SingleVerbs();
  for (const std::string_view group : Groups()) words.push_back(group);
  return words;
}

std::vector<std::string_view> TopicWords() {
  std::vector<std::string_view> words = FirstWords();
  for (const Topic& topic : AllTopics()) words.emplace_back(topic.name);
  return words;
}

std::optional<Shell> ShellFromName(std::string_view name) {
  if (name == "bash") return Shell::kBash;
  if (name == "zsh") return Shell::kZsh;
  if (name == "fish") return Shell::kFish;
  return std::nullopt;
}

std::string CompletionScript(Shell shell) {
  switch (shell) {
    case Shell::kBash:
      return BashCompletion();
    case Shell::kZsh:
      return ZshCompletion();
    case Shell::kFish:
      return FishCompletion();
  }
  return "";
}

}  // namespace cellrun::options
