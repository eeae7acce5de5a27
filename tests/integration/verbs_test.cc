// SPDX-License-Identifier: Apache-2.0
// The verbs beside run: what they print, where, and with which status.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class VerbsTest : public Sandbox {};

TEST_F(VerbsTest, OptionsEndAtTheFirstWord) {
  EXPECT_EQ(Cellrun({"--profile", "strict", "echo", "--help", "-x"}).out, "--help -x\n");
  EXPECT_EQ(Cellrun({"run", "-p", "strict", "--", "echo", "--", "x"}).out, "-- x\n");
  const Outcome unknown = Cellrun({"--profil", "strict", "true"});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_THAT(unknown.err, AllOf(HasSubstr("error: "), HasSubstr("--profile")));
  EXPECT_EQ(unknown.out, "");
}

TEST_F(VerbsTest, AVerbMayBeTheCommand) {
  Write(Work("bin/doctor"), "#!/bin/sh\necho called\n", 0755);
  const Outcome outcome = Cellrun(
      {"--profile", "observe", "--env", "PATH=" + Work("bin") + ":/usr/bin:/bin", "--", "doctor"});
  EXPECT_EQ(outcome.out, "called\n") << outcome;
}

TEST_F(VerbsTest, AMisspelledVerbNamesTheNearest) {
  const Outcome outcome = Cellrun({"profile", "lits"});
  EXPECT_EQ(outcome.status, 2) << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("list"));
}

TEST_F(VerbsTest, ListsTheShippedProfiles) {
  const Outcome names = Cellrun({"profile", "list", "-o", "name"});
  EXPECT_EQ(names.status, 0) << names;
  for (const char* name : {"base", "strict", "standard", "observe", "ci"}) {
    EXPECT_THAT("\n" + names.out, HasSubstr(std::string("\n") + name + "\n"));
  }
  const Outcome object = Cellrun({"profile", "list", "-o", "json"});
  EXPECT_TRUE(json::parse(object.out, nullptr, false).is_array()) << object;
}

TEST_F(VerbsTest, ShippedProfilesPassTheirOwnTestsAndLint) {
  for (const char* name : {"base", "strict", "standard", "observe", "ci"}) {
    const Outcome test = Cellrun({"profile", "test", name});
    EXPECT_EQ(test.status, 0) << name << ": " << test;
    const Outcome lint = Cellrun({"profile", "lint", name});
    EXPECT_EQ(lint.status, 0) << name << ": " << lint;
  }
  EXPECT_EQ(BrokerPid(), 0) << "none of this needs a broker";
}

TEST_F(VerbsTest, ShowsEachValueWithItsOrigin) {
  const Outcome show = Cellrun({"profile", "show", "strict"});
  EXPECT_EQ(show.status, 0) << show;
  EXPECT_THAT(show.out, AllOf(HasSubstr("strict.yaml:"), HasSubstr("base.yaml:")));
  const Outcome object = Cellrun({"profile", "show", "strict", "-o", "json"});
  EXPECT_TRUE(json::parse(object.out, nullptr, false).is_object()) << object;
}

TEST_F(VerbsTest, LintFindsWhatAProfileDoesNotMean) {
  const std::string path = WriteProfile(
      "cellrun: 1\nname: loose\nextends: [base]\ncommands:\n  default: allow\n  rules:\n"
      "    - {name: all-git, when: {exe: git}, then: allow}\n"
      "    - {name: no-push, when: {exe: git, args: [push, \"**\"]}, then: deny}\n"
      "    - {name: copied, when: {exe: curl}, then: deny}\n"
      "    - {name: unknown, when: {exe: no-such-program}, then: deny}\n");
  const Outcome lint = Cellrun({"profile", "lint", path});
  EXPECT_EQ(lint.status, 1) << lint;
  EXPECT_THAT(lint.out, AllOf(HasSubstr("no-push"), HasSubstr("curl"), HasSubstr("no-such-program"),
                              HasSubstr(":8")));
}

TEST_F(VerbsTest, ProfileTestNamesTheFailingCase) {
  const std::string path = WriteProfile(
      "cellrun: 1\nname: tested\nextends: [base]\ncommands:\n  default: allow\n"
      "tests:\n  - {exec: [ls], expect: allow}\n  - {exec: [ls], expect: deny}\n");
  const Outcome outcome = Cellrun({"profile", "test", path});
  EXPECT_EQ(outcome.status, 1) << outcome;
  EXPECT_THAT(outcome.out + outcome.err, HasSubstr(":8"));
}

TEST_F(VerbsTest, SchemaIsAJsonSchema) {
  const Outcome schema = Cellrun({"profile", "schema"});
  const json object = json::parse(schema.out, nullptr, false);
  ASSERT_TRUE(object.is_object()) << schema;
  EXPECT_TRUE(object.contains("$schema"));
  EXPECT_TRUE(object["properties"].contains("commands"));
}

TEST_F(VerbsTest, DoctorFindsNothingWrongHere) {
  const Outcome outcome = Cellrun({"doctor"}, {.time_limit = std::chrono::seconds(90)});
  EXPECT_EQ(outcome.status, 0) << outcome;
  const Outcome object =
      Cellrun({"doctor", "-o", "json"}, {.time_limit = std::chrono::seconds(90)});
  EXPECT_TRUE(json::parse(object.out, nullptr, false).is_object()) << object;
}

TEST_F(VerbsTest, PrintsItsVersion) {
  const Outcome outcome = Cellrun({"version"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.out, HasSubstr("cellrun 0."));
  EXPECT_EQ(Cellrun({"--version"}).out, outcome.out);
}

TEST_F(VerbsTest, CompletionScriptsAreValid) {
  const Outcome bash = Cellrun({"completion", "bash"});
  EXPECT_EQ(bash.status, 0);
  Write(Path("completion"), bash.out);
  EXPECT_EQ(Bare({"bash", "-n", Path("completion")}).status, 0);
  const Outcome words =
      Bare({"bash", "-c",
            "source \"$1\"; COMP_WORDS=(cellrun pro); COMP_CWORD=1; COMP_LINE='cellrun pro'; "
            "COMP_POINT=11; f=$(complete -p cellrun | sed 's/.*-F \\([^ ]*\\).*/\\1/'); $f cellrun "
            "pro cellrun; "
            "echo ${COMPREPLY[@]}",
            "_", Path("completion")});
  EXPECT_THAT(words.out, HasSubstr("profile")) << words;
  for (const char* shell : {"zsh", "fish"}) EXPECT_EQ(Cellrun({"completion", shell}).status, 0);
  EXPECT_EQ(Cellrun({"completion", "tcsh"}).status, 2);
}

TEST_F(VerbsTest, HelpGoesToStandardOutputAndErrorsDoNot) {
  const Outcome help = Cellrun({"help"});
  EXPECT_EQ(help.status, 0);
  EXPECT_THAT(help.out, HasSubstr("run"));
  EXPECT_EQ(help.err, "");
  EXPECT_EQ(Cellrun({"run", "--help"}).status, 0);
  EXPECT_THAT(Cellrun({"profile", "--help"}).out, HasSubstr("profile lint"));
  EXPECT_EQ(Cellrun({"help", "exit-status"}).status, 0);
  EXPECT_EQ(Cellrun({"help", "nonsense"}).status, 2);
}

TEST_F(VerbsTest, WhatComesLaterSaysSo) {
  for (const char* verb : {"inspect", "attach", "exec"}) {
    const Outcome outcome = Cellrun({verb, "x"});
    EXPECT_NE(outcome.status, 0) << verb;
    EXPECT_THAT(outcome.err, HasSubstr("not supported yet")) << verb << outcome;
  }
  const Outcome option = Run({"true"}, {.flags = {"--memory", "1G"}});
  EXPECT_THAT(option.status, testing::AnyOf(2, 125));
  EXPECT_THAT(option.err, HasSubstr("not supported yet"));
}

TEST_F(VerbsTest, CellsAreListedWhileTheyRun) {
  Process process = Start({"bash", "-c", "echo up; sleep 1000"}, {.flags = {"--name", "shown"}});
  ASSERT_TRUE(process.WaitForOutput("up\n")) << process.err();
  const Outcome list = Cellrun({"ps", "-o", "json"});
  const json cells = json::parse(list.out, nullptr, false);
  ASSERT_TRUE(cells.is_array()) << list;
  ASSERT_EQ(cells.size(), 1U);
  for (const char* field : {"id", "name", "profile", "backend", "state", "workspace", "created",
                            "pid", "layers", "user"}) {
    EXPECT_TRUE(cells[0].contains(field)) << field << " of " << cells[0].dump();
  }
  EXPECT_EQ(cells[0]["name"], "shown");
  EXPECT_EQ(cells[0]["workspace"], Work());
}

}  // namespace
}  // namespace cellrun::test
