// SPDX-License-Identifier: Apache-2.0
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <optional>

#include "launcher/options/arguments.h"
#include "launcher/options/nearest.h"
#include "launcher/options/value.h"
#include "lib/base/text.h"
#include "lib/policy/network_target.h"
#include "lib/policy/value_type.h"

namespace cellrun::options {
namespace {

using Words = std::span<const std::string>;
using Outcome = std::variant<Arguments, UsageError>;

constexpr std::size_t kLongestQuote = 200;

std::string Shown(std::string_view untrusted) {
  return "'" + text::EscapeShort(untrusted, kLongestQuote) + "'";
}

std::string Command(const Arguments& arguments) {
  return arguments.implied_run ? "cellrun" : std::string("cellrun ") + arguments.verb->name;
}

std::string OptionName(const Option& option) {
  return *option.flag != '\0' ? option.flag : std::string("-") + option.letter;
}

std::vector<std::string_view> FlagsOf(const Verb& verb) {
  std::vector<std::string_view> flags;
  for (const Option& option : AllOptions()) {
    if (Applies(option, verb) && option.support != Support::kHidden && *option.flag != '\0') {
      flags.emplace_back(option.flag);
    }
  }
  return flags;
}

UsageError UnknownOption(const Arguments& arguments, const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  const std::string_view near = Nearest(name, FlagsOf(*arguments.verb));
  UsageError error{.what = "unknown option " + Shown(word), .cause = "", .suggest = ""};
  if (arguments.verb->word_kind == WordKind::kCommand) {
    error.cause = "options of the command come after the command";
  }
  error.suggest = near.empty() ? Command(arguments) + " -h" : std::string(near);
  return error;
}

// Which verb the words name, and how many of them do.
struct Choice {
  const Verb* verb = nullptr;
  std::size_t words = 0;
};

UsageError UnknownSubverb(const std::string& group, const std::string* word) {
  std::vector<std::string_view> names;
  std::string listed;
  for (const Verb& verb : AllVerbs()) {
    const std::string_view name = verb.name;
    if (!name.starts_with(group + " ")) continue;
    names.push_back(name.substr(group.size() + 1));
    listed += (listed.empty() ? "" : ", ") + std::string(names.back());
  }
  UsageError error;
  error.what = word == nullptr ? "cellrun " + group + " needs a verb"
                               : Shown(*word) + " is no verb of cellrun " + group;
  error.cause = "there are: " + listed;
  const std::string_view near = word == nullptr ? std::string_view() : Nearest(*word, names);
  error.suggest = "cellrun " + group + " " + (near.empty() ? "--help" : std::string(near));
  return error;
}

bool IsLater(std::string_view name) {
  const auto later = LaterVerbs();
  return std::find(later.begin(), later.end(), name) != later.end();
}

UsageError NotSupportedYet(const std::string& name) {
  return {.what = "cellrun " + name + " is not supported yet",
          .cause = "the word is kept for a verb of a later release",
          .suggest = "cellrun help, or cellrun -- " + name + " to run a command of that name"};
}

std::variant<Choice, UsageError> ChooseVerb(Words words) {
  const Choice run{&VerbOf(VerbId::kRun), 0};
  if (words.empty() || words[0].empty() || words[0][0] == '-') return run;
  if (const Verb* verb = FindVerb(words[0])) return Choice{verb, 1};
  if (IsVerbGroup(words[0])) {
    const bool more = words.size() > 1 && !words[1].starts_with('-');
    if (words.size() > 1 && (words[1] == "-h" || words[1] == "--help")) {
      return Choice{&VerbOf(VerbId::kHelp), 0};
    }
    if (!more && words[0] == "approvals") return Choice{&VerbOf(VerbId::kApprovalsList), 1};
    if (!more) return UnknownSubverb(words[0], nullptr);
    const std::string name = words[0] + " " + words[1];
    if (const Verb* verb = FindVerb(name)) return Choice{verb, 2};
    if (IsLater(name)) return NotSupportedYet(name);
    return UnknownSubverb(words[0], &words[1]);
  }
  if (IsLater(words[0])) return NotSupportedYet(words[0]);
  return run;
}

// CLI11 does the getopt part (letters in one word, --name=value, --name value, --). Everything
// about values is checked here: its own conversions would read "[a,b]" and "{}" as lists.
class Grammar {
 public:
  Grammar(const Verb& verb, std::size_t words) : command_(verb.word_kind == WordKind::kCommand) {
    app_.set_help_flag();
    app_.allow_extras();
    // The first word ends the options where the words are a command, whose options are its own.
    app_.positionals_at_end(command_);
    for (const Option& option : AllOptions()) {
      if (Applies(option, verb)) Add(option);
    }
    // A fixed number, never reached: with "any number" CLI11 takes "[a,b]" apart.
    words_ = app_.add_option("words")->type_size(1)->expected(static_cast<int>(words) + 1);
    words_->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }

  // Throws CLI::ParseError.
  void Read(Words words) {
    std::vector<std::string> reversed(words.rbegin(), words.rend());
    app_.parse(std::move(reversed));
  }
  // The first word that looks like an option and is none of this verb; null if there is none.
  [[nodiscard]] std::optional<std::string> FirstUnknown() const {
    bool dashes = false;  // CLI11 keeps the "--" that it obeyed among the unknown
    for (const std::string& word : app_.remaining()) {
      if (word != "--") return word;
      dashes = true;
    }
    if (dashes || words().empty()) return std::nullopt;
    // CLI11 takes "-1" and "---" for words.
    const std::size_t checked = command_ ? 1 : words().size();
    for (std::size_t i = 0; i < checked; ++i) {
      if (words()[i].size() > 1 && words()[i][0] == '-') return words()[i];
    }
    return std::nullopt;
  }
  [[nodiscard]] const std::vector<std::string>& words() const { return words_->results(); }
  [[nodiscard]] const std::vector<std::pair<const Option*, CLI::Option*>>& options() const {
    return options_;
  }

 private:
  void Add(const Option& option) {
    std::string names = option.flag;
    if (option.letter != '\0') {
      names += (names.empty() ? "-" : ",-") + std::string(1, option.letter);
    }
    CLI::Option* added = nullptr;
    if (option.kind == ValueKind::kFlag) {
      added = app_.add_flag(names)->disable_flag_override();
    } else {
      added = app_.add_option(names)->type_size(1)->expected(1);
    }
    added->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    options_.emplace_back(&option, added);
  }

  bool command_;
  CLI::App app_;
  CLI::Option* words_ = nullptr;
  std::vector<std::pair<const Option*, CLI::Option*>> options_;
};

// What a value must be, in words; "" if this one is fine.
std::string Expected(const Option& option, const std::string& value) {
  switch (option.kind) {
    case ValueKind::kFlag:
      return "";
    case ValueKind::kText:
    case ValueKind::kPath:
    case ValueKind::kDirectory:
    case ValueKind::kProfile:
      return value.empty() ? std::string(option.value) + ", not empty" : "";
    case ValueKind::kAssignment:
      return value.empty() || value[0] == '=' ? "NAME or NAME=VALUE" : "";
    case ValueKind::kDuration:
      return ParseDuration(value) ? "" : "a duration: 500ms, 30s, 5m, 2h, 7d";
    case ValueKind::kCount:
      return ParseCount(value) ? "" : "a whole number from 1";
    case ValueKind::kMoment:
      return ParseMoment(value, std::chrono::system_clock::now())
                 ? ""
                 : "a time (2026-07-01T12:00:00Z), or how long ago (10m)";
    case ValueKind::kDestination: {
      const Result<policy::NetworkTarget> target = policy::ParseEndpoint(value);
      if (target.ok()) return "";
      return "a name, an address, @GROUP or host, perhaps with :PORT (" +
             std::string(target.error().operation()) + ")";
    }
    case ValueKind::kPublish: {
      const policy::PublishedPort port = policy::PublishedValue(value);
      return port.host != 0 && port.cell != 0 ? "" : "PORT, HOST:CELL or ADDRESS:HOST:CELL";
    }
    case ValueKind::kChoice: {
      const auto choices = SplitChoices(option.choices);
      const bool known = std::find(choices.begin(), choices.end(), value) != choices.end();
      return known ? "" : "one of " + std::string(option.choices);
    }
  }
  return "a value";
}

UsageError WrongValue(const Arguments& arguments, const Option& option, const std::string& value,
                      const std::string& expected) {
  UsageError error{.what = "wrong value " + Shown(value) + " for " + OptionName(option),
                   .cause = "expected " + expected,
                   .suggest = Command(arguments) + " -h"};
  if (option.kind == ValueKind::kChoice) {
    const std::string_view near = Nearest(value, SplitChoices(option.choices));
    if (!near.empty()) error.suggest = OptionName(option) + " " + std::string(near);
  }
  return error;
}

std::optional<UsageError> TakeValues(const Grammar& grammar, Arguments* arguments) {
  for (const auto& [option, parsed] : grammar.options()) {
    const std::size_t count = parsed->count();
    if (count > 1 && !option->repeatable && option->kind != ValueKind::kFlag) {
      return UsageError{
          .what = OptionName(*option) + " is given " + std::to_string(count) + " times",
          .cause = "it can have one value",
          .suggest = Command(*arguments) + " -h"};
    }
    if (option->kind == ValueKind::kFlag) {
      if (count > 0) arguments->values.emplace_back(option->id, "");
      continue;
    }
    for (const std::string& value : parsed->results()) {
      const std::string expected = Expected(*option, value);
      if (!expected.empty()) return WrongValue(*arguments, *option, value, expected);
      arguments->values.emplace_back(option->id, value);
    }
  }
  return std::nullopt;
}

std::optional<UsageError> RefuseLaterOptions(const Arguments& arguments) {
  for (const Option& option : AllOptions()) {
    if (option.support != Support::kLater || !arguments.Has(option.id)) continue;
    if (!Applies(option, *arguments.verb)) continue;
    const std::string value = arguments.Get(option.id);
    if (option.id == OptionId::kBackend && value == "native") continue;
    const std::string shown = value.empty() ? "" : " " + text::Quote(value);
    return UsageError{.what = OptionName(option) + shown + " is not supported yet",
                      .cause = "this release has native cells in the foreground, without a network",
                      .suggest = Command(arguments) + " -h"};
  }
  return std::nullopt;
}

std::optional<UsageError> CheckWordCount(const Arguments& arguments) {
  const Verb& verb = *arguments.verb;
  if (arguments.words.size() < verb.minimum_words) {
    const bool command = verb.id == VerbId::kRun;
    return UsageError{
        .what = command ? "no command given" : Command(arguments) + " needs " + verb.words,
        .cause = "",
        .suggest = command ? "cellrun -- COMMAND, or cellrun --help" : Command(arguments) + " -h"};
  }
  if (arguments.words.size() > verb.maximum_words) {
    return UsageError{.what = "one word too many: " + Shown(arguments.words[verb.maximum_words]),
                      .cause = "",
                      .suggest = Command(arguments) + " -h"};
  }
  return std::nullopt;
}

// CLI11 refuses two things by itself: a value given to a flag, and a value that is missing.
UsageError WrongShape(const Arguments& arguments, Words words, std::string_view reason) {
  UsageError error{.what = text::EscapeShort(reason, kLongestQuote),
                   .cause = "",
                   .suggest = Command(arguments) + " -h"};
  for (const std::string& word : words) {
    for (const Option& option : AllOptions()) {
      if (!Applies(option, *arguments.verb) || *option.flag == '\0') continue;
      const std::string flag = option.flag;
      if (option.kind == ValueKind::kFlag && word.starts_with(flag + "=")) {
        error.what = flag + " takes no value";
        return error;
      }
    }
  }
  if (!words.empty()) error.what = Shown(words.back()) + " needs a value";
  return error;
}

Outcome ReadArguments(const Choice& choice, Words words) {
  Arguments arguments;
  arguments.verb = choice.verb;
  arguments.implied_run = choice.verb->id == VerbId::kRun && choice.words == 0;
  Grammar grammar(*choice.verb, words.size());
  try {
    grammar.Read(words);
  } catch (const CLI::ParseError& error) {
    return WrongShape(arguments, words, error.what());
  }
  if (const auto unknown = grammar.FirstUnknown()) return UnknownOption(arguments, *unknown);
  arguments.words = grammar.words();
  if (auto error = TakeValues(grammar, &arguments)) return *error;
  for (const OptionId question : {OptionId::kHelp, OptionId::kShortHelp, OptionId::kVersion}) {
    if (arguments.Has(question)) return arguments;
  }
  if (auto error = RefuseLaterOptions(arguments)) return *error;
  if (auto error = CheckWordCount(arguments)) return *error;
  return arguments;
}

}  // namespace

bool Arguments::Has(OptionId id) const {
  return std::any_of(values.begin(), values.end(), [id](const auto& v) { return v.first == id; });
}

std::string Arguments::Get(OptionId id, std::string_view other) const {
  const auto found =
      std::find_if(values.begin(), values.end(), [id](const auto& v) { return v.first == id; });
  return found == values.end() ? std::string(other) : found->second;
}

std::vector<std::string> Arguments::All(OptionId id) const {
  std::vector<std::string> all;
  for (const auto& [option, value] : values) {
    if (option == id) all.push_back(value);
  }
  return all;
}

Outcome Parse(Words words) {
  auto choice = ChooseVerb(words);
  if (auto* error = std::get_if<UsageError>(&choice)) return std::move(*error);
  const Choice& chosen = std::get<Choice>(choice);
  return ReadArguments(chosen, words.subspan(chosen.words));
}

}  // namespace cellrun::options
