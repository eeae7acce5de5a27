// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/denial_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "lib/wire/control.h"

namespace cellrun::exec {
namespace {

using testing::HasSubstr;
using testing::Not;

policy::Verdict Verdict() {
  policy::Verdict verdict;
  verdict.rule = {
      .name = "push", .layer = policy::Layer::kProfile, .at = {"/p/strict.yaml", 23, 5}};
  verdict.reason = "publishes code";
  return verdict;
}

TEST(DenialTextTest, NamesCommandRuleAndAlternative) {
  policy::Verdict verdict = Verdict();
  verdict.suggest = "ask a person";
  EXPECT_EQ(DenialText("/usr/bin/git", {"git", "push", "a b"}, verdict),
            "cellrun: denied: git push \"a b\"\n"
            "rule: strict.yaml:23 \"publishes code\"\n"
            "instead: ask a person\n");
}
TEST(DenialTextTest, AnAskSaysThatNobodyCanApprove) {
  policy::Verdict verdict = Verdict();
  verdict.action = policy::Action::kAsk;
  EXPECT_THAT(DenialText("git", {"git"}, verdict), HasSubstr("no approver is connected"));
}
TEST(DenialTextTest, AFalseNameIsNotShown) {
  EXPECT_THAT(DenialText("/usr/bin/curl", {"ls", "x"}, Verdict()), HasSubstr("/usr/bin/curl x"));
}
TEST(DenialTextTest, TextOfTheCellCannotReachTheTerminal) {
  const std::string text = DenialText("x\x1b[2J", {"x\x1b[2J", "\u202e", "a\nb", "\r"}, Verdict());
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, Not(HasSubstr("\u202e")));
  EXPECT_THAT(text, Not(HasSubstr("\r")));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
}
TEST(DenialTextTest, IsShortWhateverIsAsked) {
  policy::Verdict verdict = Verdict();
  verdict.message = verdict.suggest = verdict.reason = std::string(100000, '\x01');
  const std::vector<std::string> argv(10000, std::string(1000, '\x02'));
  EXPECT_LE(DenialText(std::string(4000, '\x03'), argv, verdict).size(), wire::kMaxShimText);
}

}  // namespace
}  // namespace cellrun::exec
