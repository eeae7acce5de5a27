// SPDX-License-Identifier: Apache-2.0
// What is remembered of an answer.
#include <fstream>

#include "broker/approvals/approvals_fixture.h"

namespace cellrun::approvals {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using test::IsOk;
using ::testing::HasSubstr;

using RememberedRulesTest = ApprovalsTest;

TEST_F(RememberedRulesTest, AWiderScopeIsRememberedShownAndTakenBack) {
  std::vector<std::string> changed;
  OnLoop([&] { approvals_->OnRules([&](const Rule& rule) { changed.push_back(rule.id); }); });
  const auto asked = Submit(Push());
  const auto response =
      Reply(asked.id, {{"verdict", "approve"}, {"scope", "project"}, {"for_ms", 600'000}});
  ASSERT_EQ(response.status, 200) << response.body;
  ASSERT_EQ(changed.size(), 1U);
  auto rules = RuleList();
  ASSERT_EQ(rules.size(), 1U);
  EXPECT_EQ(rules[0]["scope"], "project");
  EXPECT_EQ(rules[0]["verdict"], "allow");
  EXPECT_EQ(rules[0]["ask"], asked.id);
  EXPECT_THAT(rules[0]["rule"].get<std::string>(), HasSubstr("args: [push, \"0\"]"));

  std::vector<policy::Source> documents, elsewhere;
  OnLoop([&] {
    documents = approvals_->rules().DocumentsFor("other cell", "/home/u/p");
    elsewhere = approvals_->rules().DocumentsFor("0123456789ab", "/home/u/q");
  });
  ASSERT_EQ(documents.size(), 1U);
  EXPECT_EQ(documents[0].layer, policy::Layer::kRemembered);
  EXPECT_TRUE(elsewhere.empty());

  Restart();
  rules = RuleList();
  ASSERT_EQ(rules.size(), 1U);
  // What a person reads is what counts.
  EXPECT_EQ(ReadText(documents[0].origin), documents[0].text);

  const std::string id = rules[0]["id"];
  EXPECT_EQ(Call("DELETE", "/v1/approval-rules/" + id.substr(0, 4)).status, 200);
  EXPECT_TRUE(RuleList().empty());
  EXPECT_EQ(Call("DELETE", "/v1/approval-rules/" + id).status, 404);
  Restart();
  EXPECT_TRUE(RuleList().empty());
  EXPECT_NE(access(documents[0].origin.c_str(), F_OK), 0);
  std::vector<std::string> results;
  for (const json& record : AskRecords()) results.push_back(record["result"]);
  EXPECT_THAT(results, ::testing::ElementsAre("pending", "approved", "remembered", "revoked"));
}

TEST_F(RememberedRulesTest, RulesOfACellGoWithIt) {
  const auto asked = Submit(Push());
  ASSERT_EQ(Reply(asked.id, {{"verdict", "deny"}, {"scope", "cell"}}).status, 200);
  EXPECT_EQ(RuleList().size(), 1U);
  EXPECT_EQ(RuleList()[0]["verdict"], "deny");
  OnLoop([&] { approvals_->ForgetCell("0123456789ab"); });
  EXPECT_TRUE(RuleList().empty());
}

TEST_F(RememberedRulesTest, RulesExpireByThemselves) {
  const auto asked = Submit(Push());
  std::promise<void> expired;
  int changes = 0;
  OnLoop([&] {
    approvals_->OnRules([&](const Rule&) {
      if (++changes == 2) expired.set_value();
    });
  });
  ASSERT_EQ(Reply(asked.id, {{"verdict", "approve"}, {"scope", "always"}, {"for_ms", 30}}).status,
            200);
  expired.get_future().wait();
  EXPECT_TRUE(RuleList().empty());
}

TEST_F(RememberedRulesTest, WithoutATimeRulesLastAMonthOrAsLongAsTheCell) {
  (void)Reply(Submit(Push(1)).id, {{"verdict", "approve"}, {"scope", "always"}});
  (void)Reply(Submit(Push(2)).id, {{"verdict", "approve"}, {"scope", "cell"}});
  const auto rules = RuleList();
  ASSERT_EQ(rules.size(), 2U);
  for (const json& rule : rules) EXPECT_EQ(rule["expires"].is_null(), rule["scope"] == "cell");
}

TEST_F(RememberedRulesTest, ThePreviewShowsTheRuleAndWhatItWouldMatch) {
  journal::Record record;
  record.time = std::chrono::system_clock::now();
  record.cell = "0123456789ab";
  record.exe = "/usr/bin/git";
  record.cwd = "/home/u/p";
  for (int pid = 1; pid <= 3; ++pid) {
    record.pid = pid;
    record.argv = {"git", "push", pid == 3 ? "else" : "0"};
    ASSERT_NE(journal_->Append(record), 0U);
  }
  ASSERT_THAT(journal_->Flush(5s), IsOk());
  const auto asked = Submit(Push());
  const auto preview = [&](json body) {
    body["digest"] = Show(asked.id)["digest"];
    body["verdict"] = "approve";
    return Call("POST", "/v1/approvals/" + asked.id + "/preview", body.dump());
  };
  const json shown = json::parse(preview({{"scope", "project"}}).body);
  EXPECT_THAT(shown["rule"].get<std::string>(), HasSubstr("exe: /usr/bin/git"));
  EXPECT_EQ(shown["matches_total"], 2);
  EXPECT_EQ(shown["matches"][0]["argv"], json({"git", "push", "0"}));
  EXPECT_THAT(shown["file"].get<std::string>(), HasSubstr("project-"));
  EXPECT_EQ(preview({{"scope", "once"}}).status, 409);
  EXPECT_EQ(Show(asked.id)["state"], "pending");
  EXPECT_TRUE(RuleList().empty());
}

TEST_F(RememberedRulesTest, AnUnrememberableAnswerLeavesTheAskPending) {
  Ask ask = Push();
  ask.rule.layer = policy::Layer::kWorkspace;
  const auto asked = Submit(ask);
  EXPECT_EQ(Reply(asked.id, {{"verdict", "approve"}, {"scope", "always"}}).status, 409);
  ask = Push(1);
  ask.argv.push_back("\xff");
  const auto bytes = Submit(ask);
  EXPECT_EQ(Reply(bytes.id, {{"verdict", "approve"}, {"scope", "always"}}).status, 409);
  EXPECT_EQ(List().size(), 2U);
  EXPECT_TRUE(RuleList().empty());
}

}  // namespace
}  // namespace cellrun::approvals
