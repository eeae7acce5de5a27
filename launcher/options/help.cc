// SPDX-License-Identifier: Apache-2.0
#include "launcher/options/help.h"

#include <algorithm>
#include <vector>

#include "launcher/options/nearest.h"

namespace cellrun::options {
namespace {

constexpr std::size_t kColumns = 96;
constexpr std::size_t kWidestTerm = 28;

// Width on a terminal: our own texts use no wide or combining characters.
std::size_t Columns(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

// Words of `text` in lines that start at column `indent`; the first line is already there.
std::string Wrap(std::string_view text, std::size_t indent) {
  std::string wrapped;
  std::size_t column = indent;
  while (!text.empty()) {
    const std::size_t end = text.find(' ');
    const std::string_view word = text.substr(0, end);
    if (column > indent && column + 1 + Columns(word) > kColumns) {
      wrapped += "\n" + std::string(indent, ' ');
      column = indent;
    }
    if (column > indent) {
      wrapped += ' ';
      ++column;
    }
    wrapped += word;
    column += Columns(word);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return wrapped;
}

struct Row {
  std::string term, meaning;
};

std::string Rows(const std::vector<Row>& rows) {
  std::size_t width = 0;
  for (const Row& row : rows) {
    if (Columns(row.term) <= kWidestTerm) width = std::max(width, Columns(row.term));
  }
  const std::size_t indent = width + 4;
  std::string text;
  for (const Row& row : rows) {
    text += "  " + row.term;
    const std::size_t used = Columns(row.term) + 2;
    text += used + 2 > indent ? "\n" + std::string(indent, ' ') : std::string(indent - used, ' ');
    text += Wrap(row.meaning, indent) + "\n";
  }
  return text;
}

std::string OptionRows(const Verb& verb) {
  std::vector<Row> rows;
  for (const Option& option : AllOptions()) {
    if (!Applies(option, verb) || option.support == Support::kHidden) continue;
    rows.push_back({OptionUsage(option), OptionMeaning(option)});
  }
  return Rows(rows);
}

std::string Paragraphs(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = text.find("\n\n");
    out += Wrap(text.substr(0, end), 0) + "\n";
    if (end == std::string_view::npos) break;
    out += "\n";
    text.remove_prefix(end + 2);
  }
  return out;
}

// Lines "  term  meaning" become rows; other lines stay.
std::string TopicText(const Topic& topic) {
  std::string out;
  std::vector<Row> rows;
  std::string_view text = topic.text;
  while (true) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (line.starts_with("  ")) {
      const std::size_t gap = line.find("  ", 2);
      rows.push_back({std::string(line.substr(2, gap - 2)),
                      std::string(line.substr(line.find_first_not_of(' ', gap)))});
    } else {
      out += Rows(rows) + Wrap(line, 0) + "\n";
      rows.clear();
    }
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return out + Rows(rows);
}

std::vector<std::string_view> TopicNames() {
  std::vector<std::string_view> names;
  for (const Verb& verb : AllVerbs()) names.emplace_back(verb.name);
  for (const Topic& topic : AllTopics()) names.emplace_back(topic.name);
  return names;
}

}  // namespace

std::string Synopsis(const Verb& verb) {
  const bool run = verb.id == VerbId::kRun;
  std::string synopsis = "cellrun " + (run ? std::string("[run]") : std::string(verb.name));
  synopsis += run ? " [options] [--]" : " [options]";
  if (*verb.words != '\0') synopsis += " " + std::string(verb.words);
  return synopsis;
}

std::string OptionUsage(const Option& option) {
  std::string usage;
  if (option.letter != '\0') usage += std::string("-") + option.letter;
  if (*option.flag != '\0') usage += (usage.empty() ? "" : ", ") + std::string(option.flag);
  if (*option.value != '\0') usage += " " + std::string(option.value);
  return usage;
}

std::string OptionMeaning(const Option& option) {
  std::string meaning = option.help;
  if (option.kind == ValueKind::kChoice) {
    std::string choices = option.choices;
    std::size_t at = 0;
    while ((at = choices.find('|', at)) != std::string::npos) choices.replace(at, 1, ", ");
    meaning += " (" + choices + ")";
  }
  if (option.repeatable) meaning += "; may be repeated";
  if (option.support == Support::kLater && option.id != OptionId::kBackend) {
    meaning += " (not in this release)";
  }
  return meaning;
}

std::string ShortHelp(const Verb& verb) {
  std::string text = "cellrun " + std::string(verb.name) + ": " + verb.summary + "\n\n";
  text += "Usage: " + Synopsis(verb) + "\n\nOptions:\n" + OptionRows(verb);
  text += "\nMore: cellrun " + std::string(verb.name) + " --help\n";
  return text;
}

std::string FullHelp(const Verb& verb) {
  std::string text = "cellrun " + std::string(verb.name) + ": " + verb.summary + "\n\nExamples:\n";
  for (const Example& example : verb.examples) {
    text += "  " + std::string(example.command) + "\n      " + Wrap(example.meaning, 6) + "\n";
  }
  text += "\nUsage: " + Synopsis(verb) + "\n\n" + Paragraphs(verb.description);
  text += "\nOptions:\n" + OptionRows(verb);
  if (verb.id == VerbId::kRun) {
    for (const Topic& topic : AllTopics()) {
      if (std::string_view(topic.name) == "exit-status") {
        text += "\nExit status\n" + TopicText(topic);
      }
    }
  }
  return text;
}

std::string Usage() {
  return "Usage: cellrun [run] [options] [--] COMMAND [ARG…]\n"
         "       cellrun VERB [options]\n\n"
         "Options of run: cellrun run -h. Verbs: cellrun help.\n";
}

std::string Overview() {
  std::string text =
      "cellrun runs a program that nobody fully trusts in a cell, and judges what it executes.\n\n"
      "Usage: cellrun [run] [options] [--] COMMAND [ARG…]\n"
      "       cellrun VERB [options]\n\nVerbs:\n";
  std::vector<Row> rows;
  for (const Verb& verb : AllVerbs()) rows.push_back({verb.name, verb.summary});
  text += Rows(rows) + "\nTopics for cellrun help:\n";
  rows.clear();
  for (const Topic& topic : AllTopics()) {
    std::string title = topic.title;
    std::transform(title.begin(), title.end(), title.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    rows.push_back({topic.name, title});
  }
  text += Rows(rows) + "\nMore: cellrun VERB --help, man cellrun, man cellrun-profile\n";
  return text;
}

std::string GroupHelp(std::string_view group) {
  std::vector<Row> rows;
  for (const Verb& verb : AllVerbs()) {
    if (std::string_view(verb.name).starts_with(std::string(group) + " ")) {
      rows.push_back({verb.name, verb.summary});
    }
  }
  return "Verbs of cellrun " + std::string(group) + ":\n" + Rows(rows) + "\nMore: cellrun " +
         std::string(group) + " VERB --help\n";
}

std::optional<std::string> TopicHelp(std::string_view name) {
  if (const Verb* verb = FindVerb(name)) return FullHelp(*verb);
  if (IsVerbGroup(name)) return GroupHelp(name);
  for (const Topic& topic : AllTopics()) {
    if (name == topic.name) return TopicText(topic);
  }
  return std::nullopt;
}

std::string_view NearestTopic(std::string_view name) {
  return Nearest(name, TopicNames());
}

std::string_view NearestVerb(std::string_view word) {
  std::vector<std::string_view> names;
  for (const Verb& verb : AllVerbs()) {
    const std::string_view name = verb.name;
    const std::string_view first = name.substr(0, name.find(' '));
    if (names.empty() || names.back() != first) names.push_back(first);
  }
  return Nearest(word, names);
}

}  // namespace cellrun::options
