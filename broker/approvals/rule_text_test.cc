// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/rule_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/policy/policy.h"
#include "tests/support/result_matchers.h"

namespace cellrun::approvals {
namespace {

using test::IsOk;
using ::testing::HasSubstr;
using ::testing::Not;

Ask Push() {
  Ask ask;
  ask.workspace = "/home/u/p";
  ask.cwd = "/home/u/p";
  ask.program = "/usr/bin/git";
  ask.image_hash = std::string(64, 'a');
  ask.argv = {"git", "push", "origin"};
  return ask;
}

RuleRequest Request(const Ask& ask, bool allow = true) {
  return {.id = "7f3a91c2",
          .ask = ask,
          .allow = allow,
          .scope = Scope::kCell,
          .by = "uid 1000 on pts/3",
          .reason = "",
          .expires = std::nullopt};
}

// What the rule makes of a command under a profile that asks about everything.
policy::Action Judge(const std::string& rule, const policy::ExecRequest& command) {
  std::string indented = "    ";
  for (const char c : rule) indented += c == '\n' ? std::string("\n    ") : std::string(1, c);
  const policy::Places places{.home = "/home/u", .workspace = "/home/u/p"};
  auto profile = policy::LoadProfile(
      {{.name = "r",
        .origin = "r",
        .text = "cellrun: 1\nname: r\ncommands:\n  rules:\n" + indented,
        .layer = policy::Layer::kRemembered},
       {.name = "p", .origin = "p", .text = "cellrun: 1\nname: p\ncommands: {default: ask}\n"}},
      places);
  EXPECT_TRUE(profile.ok()) << profile.problems()[0].ToString();
  auto policy = policy::Policy::Compile(
      std::move(profile.value()), places,
      [](const std::string&) -> std::optional<policy::FileFacts> { return std::nullopt; });
  EXPECT_TRUE(policy.ok());
  return policy.value()->Decide(command).action;
}

policy::ExecRequest Command(const Ask& ask) {
  policy::ExecRequest command;
  command.images.push_back({.path = ask.program, .id = {1, 2}, .hash = ask.image_hash});
  command.argv = ask.argv;
  command.cwd = ask.cwd;
  return command;
}

TEST(RuleTextTest, ReadsLikeARule) {
  const Ask ask = Push();
  const auto rule = RuleText(Request(ask));
  ASSERT_THAT(rule, IsOk());
  EXPECT_THAT(*rule, HasSubstr("- name: remembered 7f3a91c2\n"));
  EXPECT_THAT(*rule, HasSubstr("    exe: /usr/bin/git\n"));
  EXPECT_THAT(*rule, HasSubstr("sha256:" + ask.image_hash));
  EXPECT_THAT(*rule, HasSubstr("    args: [push, origin]\n"));
  EXPECT_THAT(*rule, HasSubstr("    cwd: /home/u/p\n"));
  EXPECT_THAT(*rule, HasSubstr("  then: allow\n"));
}

TEST(RuleTextTest, MatchesWhatWasShownAndNothingElse) {
  const Ask ask = Push();
  const std::string rule = RuleText(Request(ask)).value();
  EXPECT_EQ(Judge(rule, Command(ask)), policy::Action::kAllow);
  const auto asks = [&](auto change) {
    policy::ExecRequest command = Command(ask);
    change(command);
    return Judge(rule, command) == policy::Action::kAsk;
  };
  EXPECT_TRUE(asks([](auto& command) { command.argv.emplace_back("--force"); }));
  EXPECT_TRUE(asks([](auto& command) { command.argv.pop_back(); }));
  EXPECT_TRUE(asks([](auto& command) { command.argv[2] = "other"; }));
  EXPECT_TRUE(asks([](auto& command) { command.cwd = "/home/u/q"; }));
  EXPECT_TRUE(asks([](auto& command) { command.cwd = "/home/u/p/below"; }));
  EXPECT_TRUE(asks([](auto& command) { command.images[0].hash = std::string(64, 'b'); }));
  EXPECT_TRUE(asks([](auto& command) { command.images[0].hash.clear(); }));
  EXPECT_TRUE(asks([](auto& command) { command.images[0].path = "/usr/bin/gitk"; }));
  EXPECT_TRUE(asks([](auto& command) { command.env = {"LD_PRELOAD=/x.so"}; }));
  EXPECT_TRUE(asks([](auto& command) { command.images[0].anonymous = true; }) ||
              Judge(rule, [&] {
                auto command = Command(ask);
                command.images[0].anonymous = true;
                return command;
              }()) == policy::Action::kDeny);
}

TEST(RuleTextTest, ArgumentsThatLookLikePatternsAreMeantLiterally) {
  for (const std::string argument : {"**",      "*",
                                     "a?c",     "[ab]",
                                     "{a,b}",   "\\",
                                     "re:.*",   "",
                                     " ",       "~",
                                     "./x",     "- a",
                                     "a: b",    "#",
                                     "null",    "true",
                                     "1",       "\"",
                                     "'",       "a\nb",
                                     "\x1b[2J", "\xe2\x80\xae",
                                     "%",       "&a",
                                     "*a",      "!x",
                                     "\\*",     "[",
                                     "]",       "}",
                                     ","}) {
    Ask ask = Push();
    ask.argv = {"git", argument};
    const auto rule = RuleText(Request(ask));
    ASSERT_THAT(rule, IsOk()) << argument;
    EXPECT_EQ(Judge(*rule, Command(ask)), policy::Action::kAllow) << *rule;
    for (const std::string other : {"x", "abc", "a", "b", "re:x", "**", "anything"}) {
      if (other == argument) continue;
      Ask changed = ask;
      changed.argv = {"git", other};
      EXPECT_EQ(Judge(*rule, Command(changed)), policy::Action::kAsk) << *rule << other;
    }
  }
}

TEST(RuleTextTest, PathsWithPatternCharactersAreMeantLiterally) {
  Ask ask = Push();
  ask.program = "/opt/a[b]/{x,y}*";
  ask.cwd = "/home/u/p/[q]*";
  const std::string rule = RuleText(Request(ask)).value();
  EXPECT_EQ(Judge(rule, Command(ask)), policy::Action::kAllow);
  Ask other = ask;
  other.program = "/opt/ab/x";
  EXPECT_EQ(Judge(rule, Command(other)), policy::Action::kAsk);
  other = ask;
  other.cwd = "/home/u/p/qq";
  EXPECT_EQ(Judge(rule, Command(other)), policy::Action::kAsk);
}

TEST(RuleTextTest, NoArgumentsMeansNone) {
  Ask ask = Push();
  ask.argv = {"git"};
  const std::string rule = RuleText(Request(ask)).value();
  EXPECT_EQ(Judge(rule, Command(ask)), policy::Action::kAllow);
  EXPECT_EQ(Judge(rule, Command(Push())), policy::Action::kAsk);
}

TEST(RuleTextTest, VariablesThatWereShownMustBeTheSame) {
  Ask ask = Push();
  ask.environment = {{.name = "GIT_DIR", .is_set = true, .before = "", .after = "/tmp/*"},
                     {.name = "EDITOR", .was_set = true, .before = "vi", .after = ""}};
  const std::string rule = RuleText(Request(ask)).value();
  policy::ExecRequest command = Command(ask);
  EXPECT_EQ(Judge(rule, command), policy::Action::kAsk);
  command.env = {"GIT_DIR=/tmp/*"};
  EXPECT_EQ(Judge(rule, command), policy::Action::kAllow);
  command.env = {"GIT_DIR=/tmp/x"};
  EXPECT_EQ(Judge(rule, command), policy::Action::kAsk);
  command.env = {"GIT_DIR=/tmp/*", "EDITOR=vi"};
  EXPECT_EQ(Judge(rule, command), policy::Action::kAsk);
}

TEST(RuleTextTest, WidenedMatchesOtherContentsOnly) {
  const Ask ask = Push();
  RuleRequest request = Request(ask);
  request.widen = true;
  const std::string rule = RuleText(request).value();
  EXPECT_THAT(rule, Not(HasSubstr("hash")));
  policy::ExecRequest command = Command(ask);
  command.images[0].hash = std::string(64, 'b');
  EXPECT_EQ(Judge(rule, command), policy::Action::kAllow);
  command.argv.emplace_back("--force");
  EXPECT_EQ(Judge(rule, command), policy::Action::kAsk);
}

TEST(RuleTextTest, AlwaysIsForEveryDirectory) {
  const Ask ask = Push();
  RuleRequest request = Request(ask);
  request.scope = Scope::kAlways;
  policy::ExecRequest command = Command(ask);
  command.cwd = "/elsewhere";
  EXPECT_EQ(Judge(RuleText(request).value(), command), policy::Action::kAllow);
}

TEST(RuleTextTest, ADenialIsNotEvadedByAVariable) {
  const Ask ask = Push();
  const std::string rule = RuleText(Request(ask, false)).value();
  policy::ExecRequest command = Command(ask);
  command.env = {"LD_PRELOAD=/x.so", "X=1"};
  EXPECT_EQ(Judge(rule, command), policy::Action::kDeny);
}

TEST(RuleTextTest, BeforeARewriteCountsWhatWasWritten) {
  Ask ask = Push();
  ask.original_argv = {"git", "push"};
  policy::ExecRequest command = Command(ask);
  command.argv = ask.original_argv;
  EXPECT_EQ(Judge(RuleText(Request(ask)).value(), command), policy::Action::kAllow);
}

TEST(RuleTextTest, ExpiredRulesDecideNothing) {
  const Ask ask = Push();
  RuleRequest request = Request(ask);
  request.expires = std::chrono::system_clock::now() - std::chrono::seconds(2);
  EXPECT_EQ(Judge(RuleText(request).value(), Command(ask)), policy::Action::kAsk);
}

TEST(RuleTextTest, KeepsNoSecret) {
  Ask ask = Push();
  ask.argv = {"git", "push", "https://u:hunter2@example.com/x"};
  EXPECT_FALSE(RuleText(Request(ask)).ok());
  ask = Push();
  ask.environment = {
      {.name = "AWS_SECRET_ACCESS_KEY", .is_set = true, .before = "", .after = "hunter2"}};
  EXPECT_FALSE(RuleText(Request(ask)).ok());
}

TEST(RuleTextTest, RefusesWhatNoRuleCanName) {
  Ask ask = Push();
  ask.argv = {"git", "\xff"};
  EXPECT_FALSE(RuleText(Request(ask)).ok());
  ask.argv = {"git", std::string(10'000, 'x') + "*"};
  EXPECT_FALSE(RuleText(Request(ask)).ok());
  ask.argv = std::vector<std::string>(1000, "x");
  EXPECT_FALSE(RuleText(Request(ask)).ok());
  ask = Push();
  ask.rememberable = false;
  EXPECT_FALSE(RuleText(Request(ask)).ok());
  ask = Push();
  ask.script_copy = "/run/cellrun/copy";
  EXPECT_FALSE(RuleText(Request(ask)).ok());
  ask = Push();
  ask.image_hash.clear();
  EXPECT_FALSE(RuleText(Request(ask)).ok());
}

}  // namespace
}  // namespace cellrun::approvals
