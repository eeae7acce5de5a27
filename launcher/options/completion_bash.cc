// SPDX-License-Identifier: Apache-2.0
#include "launcher/options/completion_tables.h"

namespace cellrun::options {
namespace {

// After "case $previous in": what the value of each option may be.
std::string ValueCases(const Verb& verb) {
  std::string out;
  for (const Option& option : AllOptions()) {
    if (!IsOffered(option, verb) || option.kind == ValueKind::kFlag) continue;
    std::string pattern = option.flag;
    if (option.letter != '\0') pattern.append("|-").append(1, option.letter);
    std::string reply;
    switch (option.kind) {
      case ValueKind::kChoice:
        reply = "compgen -W '" + Joined(SplitChoices(option.choices), " ") + "' -- \"$current\"";
        break;
      case ValueKind::kDirectory:
        reply = "compgen -d -- \"$current\"";
        break;
      case ValueKind::kPath:
        reply = "compgen -f -- \"$current\"";
        break;
      case ValueKind::kProfile:
        reply = "_cellrun_profiles \"$current\"";
        break;
      default:
        reply = ":";
        break;
    }
    out.append("        ").append(pattern).append(") mapfile -t COMPREPLY < <(").append(reply);
    out.append("); return ;;\n");
  }
  return out;
}

std::string Flags(const Verb& verb) {
  std::string out;
  for (const Option& option : AllOptions()) {
    if (!IsOffered(option, verb) || *option.flag == '\0') continue;
    out += (out.empty() ? "" : " ") + std::string(option.flag);
  }
  return out;
}

std::string WordReply(const Verb& verb) {
  switch (verb.word_kind) {
    case WordKind::kNone:
      return ":";
    case WordKind::kCommand:
      return "_cellrun_command \"$current\"";
    case WordKind::kCell:
      return "compgen -W \"$(cellrun ps -o name 2>/dev/null)\" -- \"$current\"";
    case WordKind::kAsk:
      return "compgen -W \"$(cellrun approvals list -o name 2>/dev/null)\" -- \"$current\"";
    case WordKind::kProfile:
      return "_cellrun_profiles \"$current\"";
    case WordKind::kPolicy:
      return "compgen -W 'clawrden clawker' -f -- \"$current\"";
    case WordKind::kShell:
      return "compgen -W 'bash zsh fish' -- \"$current\"";
    case WordKind::kTopic:
      return "compgen -W '" + Joined(TopicWords(), " ") + "' -- \"$current\"";
  }
  return ":";
}

std::string VerbCase(const Verb& verb) {
  std::string out = "    '" + std::string(verb.name) + "')\n      case $previous in\n";
  out += ValueCases(verb) + "      esac\n      if [[ $current == -* ]]; then\n";
  out += "        mapfile -t COMPREPLY < <(compgen -W '" + Flags(verb) + "' -- \"$current\")\n";
  out += "      else\n        mapfile -t COMPREPLY < <(" + WordReply(verb) + ")\n      fi ;;\n";
  return out;
}

}  // namespace

std::string BashCompletion() {
  std::string out =
      "# bash completion for cellrun\n"
      "_cellrun_profiles() {\n"
      "  compgen -W \"$(cellrun profile list -o name 2>/dev/null)\" -- \"$1\"\n"
      "  compgen -f -X '!*.yaml' -- \"$1\"\n"
      "  compgen -d -S / -- \"$1\"\n}\n"
      "_cellrun_command() {\n"
      "  if [[ $1 == */* ]]; then compgen -f -- \"$1\"; else compgen -c -- \"$1\"; compgen -f -- "
      "\"$1\"; fi\n}\n"
      "_cellrun() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local first=${COMP_WORDS[1]} verb=run\n"
      "  COMPREPLY=()\n"
      "  if (( COMP_CWORD == 1 )) && [[ $current != -* ]]; then\n"
      "    mapfile -t COMPREPLY < <(compgen -W '" +
      Joined(FirstWords(), " ") +
      "' -- \"$current\"; compgen -c -- \"$current\")\n"
      "    return\n  fi\n"
      "  case $first in\n";
  for (const std::string_view group : Groups()) {
    out += "    " + std::string(group) + ")\n      if (( COMP_CWORD == 2 )); then\n";
    out +=
        "        mapfile -t COMPREPLY < <(compgen -W '" + Joined(SubverbsOf(group), " ") +
        "' -- \"$current\")\n        return\n      fi\n      verb=\"$first ${COMP_WORDS[2]}\" ;;\n";
  }
  out += "    " + Joined(SingleVerbs(), "|") + ") verb=$first ;;\n  esac\n  case $verb in\n";
  for (const Verb& verb : AllVerbs()) out += VerbCase(verb);
  out += "  esac\n}\ncomplete -o filenames -o bashdefault -F _cellrun cellrun\n";
  return out;
}

}  // namespace cellrun::options
