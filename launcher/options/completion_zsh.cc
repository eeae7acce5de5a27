// SPDX-License-Identifier: Apache-2.0
#include "launcher/options/completion_tables.h"

namespace cellrun::options {
namespace {

// Inside '…' of an _arguments specification.
std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
      continue;
    }
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string Action(const Option& option) {
  switch (option.kind) {
    case ValueKind::kChoice:
      return "(" + Joined(SplitChoices(option.choices), " ") + ")";
    case ValueKind::kDirectory:
      return "_files -/";
    case ValueKind::kPath:
      return "_files";
    case ValueKind::kProfile:
      return "_cellrun_profiles";
    default:
      return " ";
  }
}

void AddSpecification(const Option& option, const std::string& name, std::string* out) {
  *out += " \\\n        '" + std::string(option.repeatable ? "*" : "") + name;
  *out += "[" + Escaped(option.help) + "]";
  if (option.kind != ValueKind::kFlag) {
    *out += ":" + Escaped(option.value) + ":" + Action(option);
  }
  *out += "'";
}

std::string WordSpecification(const Verb& verb) {
  switch (verb.word_kind) {
    case WordKind::kNone:
      return "";
    case WordKind::kCommand:
      return " \\\n        '(-):command:_command_names -e' '*::argument:_normal'";
    case WordKind::kCell:
      return " \\\n        ':cell:(${(f)\"$(cellrun ps -o name 2>/dev/null)\"})'";
    case WordKind::kAsk:
      return " \\\n        '*:ask:(${(f)\"$(cellrun approvals list -o name 2>/dev/null)\"})'";
    case WordKind::kProfile:
      return " \\\n        '*:profile:_cellrun_profiles'";
    case WordKind::kPolicy:
      return " \\\n        ':kind:(clawrden clawker)' ':file:_files'";
    case WordKind::kShell:
      return " \\\n        ':shell:(bash zsh fish)'";
    case WordKind::kTopic:
      return " \\\n        ':topic:(" + Joined(TopicWords(), " ") + ")'";
  }
  return "";
}

std::string VerbCase(const Verb& verb) {
  std::string out = "    '" + std::string(verb.name) + "')\n      _arguments -s -S";
  for (const Option& option : AllOptions()) {
    if (!IsOffered(option, verb)) continue;
    if (option.letter != '\0') AddSpecification(option, {'-', option.letter}, &out);
    if (*option.flag != '\0') AddSpecification(option, option.flag, &out);
  }
  return out + WordSpecification(verb) + " ;;\n";
}

}  // namespace

std::string ZshCompletion() {
  std::string out =
      "#compdef cellrun\n"
      "_cellrun_profiles() {\n"
      "  local -a names\n"
      "  names=(${(f)\"$(cellrun profile list -o name 2>/dev/null)\"})\n"
      "  _alternative 'profiles:profile:compadd -a names' 'files:file:_files -g \"*.yaml\"'\n}\n"
      "_cellrun() {\n"
      "  local verb=run skip=0\n"
      "  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then\n"
      "    _alternative 'verbs:verb:(" +
      Joined(FirstWords(), " ") +
      ")' 'commands:command:_command_names -e'\n"
      "    return\n  fi\n"
      "  case $words[2] in\n";
  for (const std::string_view group : Groups()) {
    out += "    " + std::string(group) +
           ")\n      if (( CURRENT == 3 )); then\n        _values verb " +
           Joined(SubverbsOf(group), " ") +
           "\n        return\n      fi\n      verb=\"$words[2] $words[3]\" skip=2 ;;\n";
  }
  out += "    " + Joined(SingleVerbs(), "|") + ") verb=$words[2] skip=1 ;;\n  esac\n";
  out += "  shift $skip words\n  (( CURRENT -= skip ))\n  case $verb in\n";
  for (const Verb& verb : AllVerbs()) out += VerbCase(verb);
  out += "  esac\n}\n_cellrun \"$@\"\n";
  return out;
}

}  // namespace cellrun::options
