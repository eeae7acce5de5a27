// SPDX-License-Identifier: Apache-2.0
#include "launcher/history/record_row.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "launcher/history/explanation_text.h"
#include "launcher/options/value.h"

namespace cellrun::history {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

const Clock::time_point kNow = options::ParseMoment("2024-05-06T12:00:00Z", {}).value();

json Exec() {
  return {{"seq", 12},
          {"time", "2024-05-06T11:57:00.5Z"},
          {"cell", "ab12cd34ef56aa"},
          {"kind", "exec"},
          {"exe", "/usr/bin/git"},
          {"argv", {"git", "push", "a b"}},
          {"cwd", "/work"},
          {"verdict", "deny"},
          {"rule",
           {{"name", "no push"}, {"layer", "profile"}, {"file", "/p/strict.yaml"}, {"line", 23}}},
          {"result", "denied"}};
}

TEST(RowOfTest, ShowsWhatAPersonNeeds) {
  const Row row = RowOf(Exec(), {{"ab12cd34ef56aa", "quiet-otter"}}, kNow);
  EXPECT_EQ(row.id, "12");
  EXPECT_EQ(row.time, "2m ago");
  EXPECT_EQ(row.cell, "quiet-otter");
  EXPECT_EQ(row.verdict, "deny");
  EXPECT_EQ(row.rule, "strict.yaml:23");
  EXPECT_EQ(row.result, "denied");
  EXPECT_EQ(row.what, "/usr/bin/git push \"a b\"");
  EXPECT_EQ(RowOf(Exec(), {}, kNow).cell, "ab12cd34ef56");
}

TEST(RowOfTest, ShowsTheProgramThatRanNotWhatItCalledItself) {
  json record = Exec();
  record["argv"] = {"ls", "-l"};
  EXPECT_EQ(RowOf(record, {}, kNow).what, "/usr/bin/git -l");
}

TEST(RowOfTest, NothingFromACellActsOnTheTerminal) {
  json record = Exec();
  record["argv"] = {"git", "\x1b[2J\n\u202e"};
  record["exe"] = "/tmp/\x07";
  record["result"] = "\x1b[m";
  record["rule"]["file"] = "/p/\x1b";
  record["cell"] = "\r";
  const Row row = RowOf(record, {}, kNow);
  const std::string table = TableOf({row}, {});
  for (const char c : table) EXPECT_TRUE(c == '\n' || (c >= 0x20 && c != 0x7f)) << table;
  EXPECT_THAT(table, HasSubstr("\\u{202e}"));
}

TEST(RowOfTest, WhatTheJournalEscapedIsNotEscapedTwice) {
  json record = Exec();
  record["argv"] = {"git", "\\x{ff}", "\\x{ff}"};
  record["escaped"] = {"argv[1]"};
  EXPECT_EQ(RowOf(record, {}, kNow).what, "/usr/bin/git \\x{ff} \"\\\\x{ff}\"");
}

TEST(RowOfTest, EveryKindHasItsForm) {
  const auto what = [](const json& record) { return RowOf(record, {}, kNow).what; };
  EXPECT_EQ(what({{"kind", "syscall"}, {"name", "mount"}, {"count", 3}}), "system call mount ×3");
  EXPECT_EQ(what({{"kind", "connect"}, {"name", "x.org"}, {"to", "198.18.0.1"}, {"port", 443}}),
            "connect x.org:443 (198.18.0.1)");
  EXPECT_EQ(what({{"kind", "file"}, {"path", "/w/.envrc"}, {"to", "/w/q"}}),
            "file /w/.envrc → /w/q");
  EXPECT_EQ(what({{"kind", "cell"}, {"name", "a"}, {"argv", {"make", "-j2"}}}), "cell a: make -j2");
  EXPECT_EQ(what({{"of", 5}, {"kind", "exec"}}), "↳ how record 5 came out");
  EXPECT_EQ(what(json::object()), "");
}

TEST(AgoTest, IsShortAndHonest) {
  EXPECT_EQ(Ago("2024-05-06T12:00:00Z", kNow), "0s ago");
  EXPECT_EQ(Ago("2024-05-06T11:59:01Z", kNow), "59s ago");
  EXPECT_EQ(Ago("2024-05-06T10:00:00Z", kNow), "2h ago");
  EXPECT_EQ(Ago("2024-05-01T12:00:00Z", kNow), "5d ago");
  EXPECT_EQ(Ago("2023-05-01T12:00:00Z", kNow), "2023-05-01");
  EXPECT_EQ(Ago("2024-05-06T13:00:00Z", kNow), "2024-05-06");  // a clock that jumped
  EXPECT_EQ(Ago("\x1b[m", kNow), "?");
}

TEST(TableOfTest, AlignsColumnsAndColoursOnlyWhenAsked) {
  const Row row = RowOf(Exec(), {}, kNow);
  EXPECT_EQ(TableOf({}, {}), "");
  const std::string plain = TableOf({row}, {});
  EXPECT_THAT(plain,
              HasSubstr("ID  TIME    CELL          VERDICT  RULE            RESULT  COMMAND\n"));
  EXPECT_THAT(plain, Not(HasSubstr("\x1b")));
  EXPECT_THAT(TableOf({row}, {.color = true}), HasSubstr("\x1b[31mdeny\x1b[0m"));
  EXPECT_THAT(TableOf({row}, {.headers = false}), Not(HasSubstr("VERDICT")));
  EXPECT_THAT(TableOf({row}, {.max_command_characters = 5}), HasSubstr("/usr/…\n"));
}

TEST(ExplanationTextTest, SaysWhatDecidedWhatLostAndWhatWouldChangeIt) {
  const json trial_lost = {{"rule", {{"file", "/p/strict.yaml"}, {"line", 3}, {"name", "tools"}}},
                           {"then", "allow"},
                           {"matched", false},
                           {"decided", false},
                           {"failed", "args: 'push' is not 'pull'"}};
  json trial_other = trial_lost;
  trial_other["failed"] = "exe: '/usr/bin/git' is another program";
  const json trial_won = {
      {"rule", Exec()["rule"]}, {"then", "deny"}, {"matched", true}, {"decided", true}};
  json trial_late = trial_won;
  trial_late["decided"] = false;
  const json explanation = {
      {"record", Exec()},
      {"cell_name", "quiet-otter"},
      {"verdict", "deny"},
      {"rule", Exec()["rule"]},
      {"message", "not from \x1b here"},
      {"trials", {trial_other, trial_other, trial_other, trial_lost, trial_won, trial_late}},
      {"change", "- when: x\n  then: allow\n"},
      {"notes", {"careful"}}};
  const std::string text = ExplanationText(explanation, false);
  EXPECT_THAT(text, HasSubstr("verdict:  deny by strict.yaml:23 \"no push\" (profile)\n"));
  EXPECT_THAT(text, HasSubstr("cell quiet-otter\n"));
  EXPECT_THAT(text, HasSubstr("message:  not from \\u{1b} here\n"));
  EXPECT_THAT(text, HasSubstr("3 rules for other programs\n"));
  EXPECT_THAT(text, HasSubstr("allow  no: args: 'push' is not 'pull'\n"));
  EXPECT_THAT(text, HasSubstr("deny   decides\n"));
  EXPECT_THAT(text, HasSubstr("matches, but an earlier rule decided\n"));
  EXPECT_THAT(text, HasSubstr("\n  - when: x\n    then: allow\n"));
  EXPECT_THAT(text, HasSubstr("note: careful\n"));
}

}  // namespace
}  // namespace cellrun::history
