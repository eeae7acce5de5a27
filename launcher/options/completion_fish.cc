// SPDX-License-Identifier: Apache-2.0
#include "launcher/options/completion_tables.h"

namespace cellrun::options {
namespace {

std::string Quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

// Holds once the verb has been typed; for run, which may be left out, as long as no other has.
std::string Condition(const Verb& verb) {
  const std::string_view name = verb.name;
  if (verb.id == VerbId::kRun) {
    std::vector<std::string_view> others = FirstWords();
    std::erase(others, "run");
    return "not __fish_seen_subcommand_from " + Joined(others, " ");
  }
  const std::size_t space = name.find(' ');
  std::string condition = "__fish_seen_subcommand_from " + std::string(name.substr(0, space));
  if (space != std::string_view::npos) {
    condition += "; and __fish_seen_subcommand_from " + std::string(name.substr(space + 1));
  }
  return condition;
}

std::string OptionLine(const Verb& verb, const Option& option) {
  std::string line = "complete -c cellrun -n " + Quoted(Condition(verb));
  if (option.letter != '\0') line += std::string(" -s ") + option.letter;
  if (*option.flag != '\0') line += " -l " + std::string(option.flag).substr(2);
  switch (option.kind) {
    case ValueKind::kFlag:
      break;
    case ValueKind::kChoice:
      line += " -x -a " + Quoted(Joined(SplitChoices(option.choices), " "));
      break;
    case ValueKind::kDirectory:
      line += " -x -a '(__fish_complete_directories)'";
      break;
    case ValueKind::kPath:
      line += " -r -F";
      break;
    case ValueKind::kProfile:
      line += " -r -F -a '(cellrun profile list -o name 2>/dev/null)'";
      break;
    default:
      line += " -x";
      break;
  }
  return line + " -d " + Quoted(option.help) + "\n";
}

std::string WordLine(const Verb& verb) {
  const std::string start = "complete -c cellrun -n " + Quoted(Condition(verb));
  switch (verb.word_kind) {
    case WordKind::kNone:
      return "";
    case WordKind::kCommand:
      return start + " -F -a '(__fish_complete_subcommand --fcs-skip=1)'\n";
    case WordKind::kCell:
      return start + " -a '(cellrun ps -o name 2>/dev/null)'\n";
    case WordKind::kAsk:
      return start + " -a '(cellrun approvals list -o name 2>/dev/null)'\n";
    case WordKind::kProfile:
      return start + " -F -a '(cellrun profile list -o name 2>/dev/null)'\n";
    case WordKind::kPolicy:
      return start + " -F -a 'clawrden clawker'\n";
    case WordKind::kShell:
      return start + " -a 'bash zsh fish'\n";
    case WordKind::kTopic:
      return start + " -a " + Quoted(Joined(TopicWords(), " ")) + "\n";
  }
  return "";
}

}  // namespace

std::string FishCompletion() {
  std::string out = "# fish completion for cellrun\ncomplete -c cellrun -f\n";
  for (const Verb& verb : AllVerbs()) {
    const std::string_view name = verb.name;
    if (name.find(' ') != std::string_view::npos) continue;
    out += "complete -c cellrun -n __fish_use_subcommand -a " + std::string(name) + " -d " +
           Quoted(verb.summary) + "\n";
  }
  for (const std::string_view group : Groups()) {
    out += "complete -c cellrun -n __fish_use_subcommand -a " + std::string(group) + "\n";
    const std::string subverbs = Joined(SubverbsOf(group), " ");
    out += "complete -c cellrun -n " +
           Quoted("__fish_seen_subcommand_from " + std::string(group) +
                  "; and not __fish_seen_subcommand_from " + subverbs) +
           " -a " + Quoted(subverbs) + "\n";
  }
  for (const Verb& verb : AllVerbs()) {
    for (const Option& option : AllOptions()) {
      if (IsOffered(option, verb)) out += OptionLine(verb, option);
    }
    out += WordLine(verb);
  }
  return out;
}

}  // namespace cellrun::options
