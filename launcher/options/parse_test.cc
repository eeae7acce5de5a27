// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "launcher/options/arguments.h"

namespace cellrun::options {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Words = std::vector<std::string>;

Arguments Parsed(const Words& words) {
  auto outcome = Parse(words);
  if (const auto* error = std::get_if<UsageError>(&outcome)) {
    ADD_FAILURE() << error->what << " / " << error->cause << " / " << error->suggest;
    return {.verb = &VerbOf(VerbId::kHelp), .values = {}, .words = {}, .implied_run = false};
  }
  return std::get<Arguments>(outcome);
}

UsageError Refused(const Words& words) {
  auto outcome = Parse(words);
  if (auto* error = std::get_if<UsageError>(&outcome)) return *error;
  ADD_FAILURE() << "accepted: " << testing::PrintToString(words);
  return {};
}

struct RunOption {
  const char* name;
  Words words;
  OptionId id;
  Words values;
};

class RunOptionTest : public testing::TestWithParam<RunOption> {};

TEST_P(RunOptionTest, IsReadAndTheCommandIsUntouched) {
  const RunOption& row = GetParam();
  for (const bool implied : {true, false}) {
    Words words = implied ? Words{} : Words{"run"};
    words.insert(words.end(), row.words.begin(), row.words.end());
    words.insert(words.end(), {"make", "-j2", "--name", "x"});
    const Arguments arguments = Parsed(words);
    EXPECT_EQ(arguments.verb->id, VerbId::kRun);
    EXPECT_EQ(arguments.implied_run, implied);
    EXPECT_EQ(arguments.All(row.id), row.values);
    EXPECT_THAT(arguments.words, ElementsAre("make", "-j2", "--name", "x"));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, RunOptionTest,
    testing::Values(
        RunOption{"ProfileLetter", {"-p", "strict"}, OptionId::kProfile, {"strict"}},
        RunOption{"ProfileLetterJoined", {"-pstrict"}, OptionId::kProfile, {"strict"}},
        RunOption{"Profile", {"--profile", "./a.yaml"}, OptionId::kProfile, {"./a.yaml"}},
        RunOption{"ProfileEquals", {"--profile=a=b"}, OptionId::kProfile, {"a=b"}},
        RunOption{"WorkspaceLetter", {"-w", "."}, OptionId::kWorkspace, {"."}},
        RunOption{"Workspace", {"--workspace", "/src"}, OptionId::kWorkspace, {"/src"}},
        RunOption{"Name", {"--name", "quiet-otter"}, OptionId::kName, {"quiet-otter"}},
        RunOption{"EnvRepeated", {"-e", "A=1", "--env", "B"}, OptionId::kEnvironment, {"A=1", "B"}},
        RunOption{"EnvListLike", {"--env", "A=[1,2]"}, OptionId::kEnvironment, {"A=[1,2]"}},
        RunOption{"EnvBracketed", {"--env", "[A,B]"}, OptionId::kEnvironment, {"[A,B]"}},
        RunOption{"ReadRepeated", {"--read", "/a", "--read=/b"}, OptionId::kRead, {"/a", "/b"}},
        RunOption{"WriteBraces", {"--write", "{}"}, OptionId::kWrite, {"{}"}},
        RunOption{"Observe", {"--observe"}, OptionId::kObserve, {""}},
        RunOption{"Tty", {"--tty", "raw"}, OptionId::kTerminal, {"raw"}},
        RunOption{"Report", {"--report", "r.json"}, OptionId::kReport, {"r.json"}},
        RunOption{"Time", {"--time", "90s"}, OptionId::kTime, {"90s"}},
        RunOption{"Publish",
                  {"--publish", "3000", "--publish", "127.0.0.2:8080:80"},
                  OptionId::kPublish,
                  {"3000", "127.0.0.2:8080:80"}},
        RunOption{"Net",
                  {"--net", "a.example:443", "--net", "[2001:db8::1]:80-90", "--net", "@npm"},
                  OptionId::kNetwork,
                  {"a.example:443", "[2001:db8::1]:80-90", "@npm"}},
        RunOption{"BackendNative", {"--backend", "native"}, OptionId::kBackend, {"native"}}),
    [](const auto& row) { return row.param.name; });

struct CommandLine {
  const char* name;
  Words words;
  Words command;
};

class CommandBoundaryTest : public testing::TestWithParam<CommandLine> {};

TEST_P(CommandBoundaryTest, KeepsTheCommandByteForByte) {
  const Arguments arguments = Parsed(GetParam().words);
  EXPECT_EQ(arguments.verb->id, VerbId::kRun);
  EXPECT_EQ(arguments.words, GetParam().command);
}

INSTANTIATE_TEST_SUITE_P(
    Table, CommandBoundaryTest,
    testing::Values(
        CommandLine{"FirstWordEndsOptions", {"ls", "--observe"}, {"ls", "--observe"}},
        CommandLine{"DashesAreEatenOnce", {"--", "--", "x"}, {"--", "x"}},
        CommandLine{"DashesAfterCommandStay", {"env", "--", "x"}, {"env", "--", "x"}},
        CommandLine{"DashesAfterOption", {"-p", "a", "--", "-x"}, {"-x"}},
        CommandLine{"DashesAsValue", {"--name", "--", "x"}, {"x"}},
        CommandLine{"VerbAfterDashes", {"--", "doctor"}, {"doctor"}},
        CommandLine{"VerbAfterRun", {"run", "doctor"}, {"doctor"}},
        CommandLine{"RunAfterOption", {"-p", "a", "run"}, {"run"}},
        CommandLine{"LaterVerbAfterDashes", {"--", "kill", "1"}, {"kill", "1"}},
        CommandLine{
            "ListLikeWords", {"[a,b]", "[c,d]", "{}", "%%"}, {"[a,b]", "[c,d]", "{}", "%%"}},
        CommandLine{"EmptyWords", {"printf", "", ""}, {"printf", "", ""}},
        CommandLine{"EmptyCommand", {"--", ""}, {""}},
        CommandLine{"SingleDash", {"cat", "-"}, {"cat", "-"}},
        CommandLine{"NotUtf8", {"echo", "\xff\xfe"}, {"echo", "\xff\xfe"}},
        CommandLine{"QuotesStay", {"sh", "-c", "echo 'a' \"b\""}, {"sh", "-c", "echo 'a' \"b\""}},
        CommandLine{"PlusPlus", {"echo", "++"}, {"echo", "++"}}),
    [](const auto& row) { return row.param.name; });

TEST(ParseTest, KeepsAHundredThousandArguments) {
  Words words(100000, "x");
  words[0] = "true";
  EXPECT_EQ(Parsed(words).words.size(), 100000U);
}

TEST(ParseTest, RefusesAnUnknownOptionAndNamesTheNearest) {
  const UsageError error = Refused({"--worksapce", "/x", "make"});
  EXPECT_THAT(error.what, HasSubstr("--worksapce"));
  EXPECT_EQ(error.suggest, "--workspace");
}

TEST(ParseTest, NeverPassesAnUnknownOptionOn) {
  for (const char* option : {"-x", "-1", "--zzzzzz", "--zzzzzz=1", "-ox", "---"}) {
    EXPECT_THAT(Refused({option, "make"}).what, HasSubstr("unknown option")) << option;
    EXPECT_THAT(Refused({"run", "-p", "a", option, "make"}).what, HasSubstr("unknown option"));
  }
}

TEST(ParseTest, EscapesWhatItQuotes) {
  const UsageError error = Refused({"--a\x1b[2J", "make"});
  EXPECT_EQ(error.what.find('\x1b'), std::string::npos);
  EXPECT_THAT(error.what, HasSubstr("\\u{1b}"));
}

TEST(ParseTest, RefusesWrongValues) {
  EXPECT_EQ(Refused({"--tty", "yse", "x"}).suggest, "--tty yes");
  EXPECT_THAT(Refused({"--time", "5", "x"}).cause, HasSubstr("duration"));
  EXPECT_THAT(Refused({"--time", "0s", "x"}).cause, HasSubstr("duration"));
  EXPECT_THAT(Refused({"--env", "=1", "x"}).cause, HasSubstr("NAME"));
  for (const char* port : {"0", "x", "1:2:3:4", "70000", "a:1:2", "1-2", ""})
    EXPECT_THAT(Refused({"--publish", port, "x"}).cause, HasSubstr("HOST:CELL")) << port;
  for (const char* to : {"a b", "0x7f000001", "a:0", "a:70000", "http://a/", ""})
    EXPECT_THAT(Refused({"--net", to, "x"}).cause, HasSubstr("perhaps with :PORT")) << to;
  EXPECT_THAT(Refused({"--profile", "", "x"}).cause, HasSubstr("not empty"));
  EXPECT_THAT(Refused({"history", "--limit", "-1"}).cause, HasSubstr("whole number"));
  EXPECT_THAT(Refused({"history", "--since", "yesterday"}).cause, HasSubstr("time"));
  EXPECT_THAT(Refused({"--observe=no", "x"}).what, HasSubstr("--observe"));
}

TEST(ParseTest, RefusesAValueThatIsMissing) {
  EXPECT_THAT(Refused({"--profile"}).what, HasSubstr("--profile"));
}

TEST(ParseTest, RefusesASecondValue) {
  EXPECT_THAT(Refused({"-p", "a", "--profile", "b", "x"}).what, HasSubstr("2 times"));
}

TEST(ParseTest, RefusesARunWithoutACommand) {
  EXPECT_EQ(Refused({}).what, "no command given");
  EXPECT_EQ(Refused({"run"}).what, "no command given");
  EXPECT_EQ(Refused({"-p", "strict", "--"}).what, "no command given");
}

TEST(ParseTest, RefusesWhatThisReleaseCannotDo) {
  const std::vector<Words> lines = {{"--backend", "docker", "x"},
                                    {"--image", "debian:12", "x"},
                                    {"-d", "x"},
                                    {"--detach", "x"},
                                    {"--memory", "1G", "x"}};
  for (const Words& line : lines) {
    EXPECT_THAT(Refused(line).what, HasSubstr("not supported yet")) << line[0];
  }
}

TEST(ParseTest, KeepsTheWordsOfLaterVerbs) {
  for (const std::string_view verb : LaterVerbs()) {
    Words words;
    for (std::size_t at = 0; at < verb.size();) {
      const std::size_t end = std::min(verb.find(' ', at), verb.size());
      words.emplace_back(verb.substr(at, end - at));
      at = end + 1;
    }
    EXPECT_THAT(Refused(words).what, HasSubstr("not supported yet")) << verb;
  }
}

TEST(ParseTest, VerbWinsOverACommandOfTheSameName) {
  for (const Verb& verb : AllVerbs()) {
    if (verb.minimum_words != 0) continue;
    Words words;
    const std::string name = verb.name;
    words.push_back(name.substr(0, name.find(' ')));
    if (name.find(' ') != std::string::npos) words.push_back(name.substr(name.find(' ') + 1));
    EXPECT_EQ(Parsed(words).verb->id, verb.id) << name;
  }
}

TEST(ParseTest, NamesTheNearestSubverb) {
  EXPECT_EQ(Refused({"profile", "lnit"}).suggest, "cellrun profile lint");
  EXPECT_THAT(Refused({"profile"}).cause, HasSubstr("schema"));
  EXPECT_THAT(Refused({"audit", "--since", "1h"}).cause, HasSubstr("verify, export"));
}

TEST(ParseTest, OptionsOfAVerbMayFollowItsWords) {
  const Arguments arguments = Parsed({"history", "quiet-otter", "-f", "-o", "jsonl"});
  EXPECT_THAT(arguments.words, ElementsAre("quiet-otter"));
  EXPECT_TRUE(arguments.Has(OptionId::kFollow));
  EXPECT_EQ(arguments.Get(OptionId::kOutput), "jsonl");
}

TEST(ParseTest, WhyTakesACommandWhole) {
  EXPECT_THAT(Parsed({"why", "--", "git", "push", "-f"}).words, ElementsAre("git", "push", "-f"));
  EXPECT_THAT(Parsed({"why", "git", "push", "-f"}).words, ElementsAre("git", "push", "-f"));
}

TEST(ParseTest, RefusesWordsThatAVerbDoesNotTake) {
  EXPECT_THAT(Refused({"doctor", "now"}).what, HasSubstr("'now'"));
  EXPECT_THAT(Refused({"history", "a", "b"}).what, HasSubstr("'b'"));
}

TEST(ParseTest, HelpNeedsNoWords) {
  EXPECT_TRUE(Parsed({"--help"}).Has(OptionId::kHelp));
  EXPECT_TRUE(Parsed({"--version"}).Has(OptionId::kVersion));
  EXPECT_TRUE(Parsed({"profile", "show", "-h"}).Has(OptionId::kShortHelp));
  EXPECT_EQ(Parsed({"profile", "--help"}).verb->id, VerbId::kHelp);
}

TEST(ParseTest, OutputFormatsDependOnTheVerb) {
  EXPECT_EQ(Parsed({"profile", "show", "strict", "-o", "text"}).Get(OptionId::kOutput), "text");
  EXPECT_THAT(Refused({"doctor", "-o", "name"}).cause, HasSubstr("table|json|jsonl|yaml"));
}

}  // namespace
}  // namespace cellrun::options
