// SPDX-License-Identifier: Apache-2.0
#include "launcher/options/manual.h"

#include <string_view>

#include "launcher/options/help.h"

namespace cellrun::options {
namespace {

// scdoc gives a meaning to these, and to a dash that begins a line; a backslash takes it away.
std::string Plain(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool begins_line = out.empty() || out.back() == '\n';
    const bool special = std::string_view("\\*_<>`#").find(c) != std::string_view::npos;
    if (special || (c == '-' && begins_line)) out += '\\';
    out += c;
  }
  return out;
}

std::string Bold(std::string_view text) {
  return "*" + Plain(text) + "*";
}

std::string Term(const std::string& term, std::string_view meaning) {
  return Bold(term) + "\n\t" + Plain(meaning) + "\n\n";
}

std::string TopicSection(const Topic& topic) {
  std::string out = "# " + std::string(topic.title) + "\n\n";
  std::string_view text = topic.text;
  while (true) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (line.starts_with("  ")) {
      const std::size_t gap = line.find("  ", 2);
      out +=
          Term(std::string(line.substr(2, gap - 2)), line.substr(line.find_first_not_of(' ', gap)));
    } else if (!line.empty()) {
      out += Plain(line) + "\n\n";
    }
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return out;
}

std::string VerbSection(const Verb& verb) {
  std::string out = "## " + Plain(Synopsis(verb)) + "\n\n" + Plain(verb.description) + "\n\n";
  for (const Option& option : AllOptions()) {
    if (!Applies(option, verb) || option.support == Support::kHidden) continue;
    if (option.id == OptionId::kShortHelp || option.id == OptionId::kHelp) continue;
    out += Term(OptionUsage(option), OptionMeaning(option) + ".");
  }
  return out;
}

std::string Examples() {
  std::string out = "# EXAMPLES\n\n";
  for (const Verb& verb : AllVerbs()) {
    for (const Example& example : verb.examples) out += Term(example.command, example.meaning);
  }
  return out;
}

}  // namespace

std::string ManualPage() {
  std::string out =
      "cellrun(1)\n\n# NAME\n\ncellrun - run a command in a cell that a broker outside judges\n\n"
      "# SYNOPSIS\n\n*cellrun* [run] [options] [--] COMMAND [ARG…]++\n"
      "*cellrun* VERB [options]\n\n# DESCRIPTION\n\n"
      "cellrun runs a program that nobody fully trusts (a coding agent, a build, a script) in a "
      "cell: namespaces of its own, no capabilities, no network, and a file tree with nothing of "
      "the host but its programs and the workspace. Before any program of the cell runs another, "
      "the kernel asks the broker outside the cell, which decides under a profile, checks that "
      "what runs is what it judged, explains what it denies, and keeps a record.\n\n"
      "Every verb takes *-h* for its options and *--help* for everything about it. Data goes to "
      "stdout, everything else to stderr.\n\n# VERBS\n\n";
  for (const Verb& verb : AllVerbs()) out += VerbSection(verb);
  for (const Topic& topic : AllTopics()) out += TopicSection(topic);
  out += Examples();
  out += "# SEE ALSO\n\n*cellrun-profile*(5), *cellrun-broker*(8)\n";
  return out;
}

}  // namespace cellrun::options
