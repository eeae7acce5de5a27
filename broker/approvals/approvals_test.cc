// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <fstream>
#include <thread>

#include "broker/approvals/approvals_fixture.h"

namespace cellrun::approvals {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using test::IsOk;
using ::testing::HasSubstr;

TEST_F(ApprovalsTest, ShowsTheWholeAsk) {
  Ask ask = Push();
  ask.environment = {{.name = "LD_PRELOAD", .is_set = true, .before = "", .after = "/x.so"}};
  ask.argv.push_back(std::string(100'000, 'x'));
  ask.argv.push_back("a\xff\x1b[2J");
  const auto submitted = Submit(ask);
  const json whole = Show(submitted.id);
  EXPECT_EQ(whole["state"], "pending");
  EXPECT_EQ(whole["argv"][3].get<std::string>().size(), 100'000U);
  EXPECT_EQ(whole["env"][0]["before"], nullptr);
  EXPECT_EQ(whole["env"][0]["after"], "/x.so");
  EXPECT_EQ(whole["rule"]["line"], 26);
  EXPECT_FALSE(whole.contains("answer"));
  const auto listed = List();
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(listed[0]["argv_cut"], true);
  EXPECT_EQ(listed[0]["digest"], whole["digest"]);
  EXPECT_EQ(Show(submitted.id.substr(0, 4))["id"], submitted.id);
  EXPECT_EQ(Call("GET", "/v1/approvals/zzzz").status, 404);
}

TEST_F(ApprovalsTest, ApprovingReachesTheWaiterAndTheJournal) {
  std::promise<Decision> decided;
  const auto asked = Submit(Push(), [&](const Decision& decision) { decided.set_value(decision); });
  const auto response = Reply(asked.id, {{"verdict", "approve"}});
  EXPECT_EQ(response.status, 200) << response.body;
  const Decision decision = decided.get_future().get();
  EXPECT_EQ(decision.state, State::kApproved);
  EXPECT_THAT(decision.by, HasSubstr("uid " + std::to_string(getuid())));
  const auto records = AskRecords();
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0]["result"], "pending");
  EXPECT_EQ(records[1]["result"], "approved");
  EXPECT_EQ(records[1]["verdict"], "allow");
  EXPECT_EQ(records[1]["detail"]["id"], asked.id);
  EXPECT_EQ(records[1]["detail"]["digest"], records[0]["detail"]["digest"]);
  EXPECT_EQ(records[1]["detail"]["uid"], getuid());
  EXPECT_EQ(records[1]["detail"]["pid"], getpid());
  EXPECT_GE(records[1]["detail"]["after_ms"], 0);
}

TEST_F(ApprovalsTest, TheReasonOfADenialReachesTheWaiter) {
  std::promise<Decision> decided;
  const auto asked = Submit(Push(), [&](const Decision& decision) { decided.set_value(decision); });
  EXPECT_EQ(Reply(asked.id, {{"verdict", "deny"}, {"reason", "not today"}}).status, 200);
  EXPECT_EQ(decided.get_future().get().reason, "not today");
  EXPECT_TRUE(List().empty());
}

TEST_F(ApprovalsTest, AnotherDigestIsAConflictAndAnAlarm) {
  bool called = false;
  const auto asked = Submit(Push(), [&](const Decision&) { called = true; });
  const auto response =
      Reply(asked.id, {{"verdict", "approve"}, {"digest", "sha256:" + std::string(64, '0')}});
  EXPECT_EQ(response.status, 409);
  EXPECT_THAT(response.body, HasSubstr("the ask has changed"));
  EXPECT_FALSE(called);
  EXPECT_EQ(Show(asked.id)["state"], "pending");
  const auto records = AskRecords();
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[1]["result"], "mismatch");
  EXPECT_EQ(records[1]["verdict"], "deny");
  EXPECT_EQ(records[1]["detail"]["answered_digest"], "sha256:" + std::string(64, '0'));
}

TEST_F(ApprovalsTest, OfAHundredAnswersOneCounts) {
  std::atomic<int> calls = 0;
  const auto asked = Submit(Push(), [&](const Decision&) { ++calls; });
  const json answer = {{"verdict", "approve"}, {"digest", Show(asked.id)["digest"]}};
  std::atomic<int> won = 0, lost = 0;
  std::vector<std::thread> people;
  for (int i = 0; i < 100; ++i) {
    people.emplace_back([&] {
      const int status = Reply(asked.id, answer).status;
      if (status == 200) ++won;
      if (status == 409) ++lost;
    });
  }
  for (std::thread& person : people) person.join();
  EXPECT_EQ(won, 1);
  EXPECT_EQ(lost, 99);
  // The ask, the answer that counted, and each that came too late.
  const auto records = AskRecords();
  EXPECT_EQ(records.size(), 101U);
  EXPECT_EQ(records.back()["result"], "too late");
  EXPECT_EQ(calls, 1);
  const auto late = Reply(asked.id, answer);
  EXPECT_EQ(late.status, 409);
  EXPECT_THAT(late.body, HasSubstr("uid"));
}

TEST_F(ApprovalsTest, RefusesWhatIsNoAnswer) {
  const auto asked = Submit(Push());
  const std::string digest = Show(asked.id)["digest"];
  const char* bad[] = {R"({})",
                       R"({"verdict":"approve"})",
                       R"({"verdict":"yes","digest":"DIGEST"})",
                       R"({"verdict":"approve","digest":"sha256:00"})",
                       R"({"verdict":"approve","digest":"DIGEST","scope":"world"})",
                       R"({"verdict":"approve","digest":"DIGEST","for_ms":1000})",
                       R"({"verdict":"deny","digest":"DIGEST","argv":["a"]})",
                       R"({"verdict":"approve","digest":"DIGEST","extra":1})",
                       R"([])",
                       ""};
  for (std::string body : bad) {
    if (const auto at = body.find("DIGEST"); at != std::string::npos) body.replace(at, 6, digest);
    EXPECT_EQ(Call("POST", "/v1/approvals/" + asked.id, body).status, 400) << body;
  }
  EXPECT_EQ(Show(asked.id)["state"], "pending");
}

TEST_F(ApprovalsTest, TimeEndsAnAskByItself) {
  Ask ask = Push();
  ask.timeout = 50ms;
  std::promise<Decision> decided;
  (void)Submit(ask, [&](const Decision& decision) { decided.set_value(decision); });
  EXPECT_EQ(decided.get_future().get().state, State::kExpired);
  EXPECT_EQ(AskRecords().back()["result"], "expired");
}

TEST_F(ApprovalsTest, FollowersSeeWhatComesAndWhatEnds) {
  std::vector<std::string> seen;
  const auto first = Submit(Push(1));
  std::thread later;
  (void)client::CallForLines(
      socket_, {.target = "/v1/approvals?follow=1"}, [&](std::string_view line) {
        const json ask = json::parse(line);
        seen.push_back(ask["argv"][2].get<std::string>() + " " + ask["state"].get<std::string>());
        if (seen.size() == 1) {
          later = std::thread([&] {
            (void)Submit(Push(2));
            (void)Reply(first.id, {{"verdict", "deny"}});
          });
        }
        return seen.size() < 3;
      });
  later.join();
  EXPECT_THAT(seen, ::testing::ElementsAre("1 pending", "2 pending", "1 denied"));
}

TEST_F(ApprovalsTest, ListsByCellAndTheNewestOnly) {
  for (int i = 0; i < 5; ++i) (void)Submit(Push(i));
  (void)Submit(Push(9, "ffffffffffff"));
  EXPECT_EQ(List().size(), 6U);
  EXPECT_EQ(List("?cell=ffff").size(), 1U);
  const auto newest = List("?cell=quiet-otter&limit=2");
  ASSERT_EQ(newest.size(), 2U);
  EXPECT_EQ(newest[1]["argv"][2], "9");
  EXPECT_EQ(Call("GET", "/v1/approvals?state=lost").status, 400);
  EXPECT_EQ(Call("GET", "/v1/approvals?nonsense=1").status, 400);
}

TEST_F(ApprovalsTest, WhatIsOverIsStillListedAndShown) {
  const auto approved = Submit(Push(1));
  const auto denied = Submit(Push(2));
  const auto waiting = Submit(Push(3));
  (void)Reply(approved.id, {{"verdict", "approve"}});
  (void)Reply(denied.id, {{"verdict", "deny"}, {"reason", "no"}});
  const auto all = List("?state=all");
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0]["state"], "approved");
  EXPECT_EQ(all[1]["state"], "denied");
  EXPECT_EQ(all[1]["answer"]["reason"], "no");
  EXPECT_EQ(all[2]["state"], "pending");
  EXPECT_GT(all[2]["left_ms"], 0);
  EXPECT_EQ(List("?state=denied").size(), 1U);
  EXPECT_EQ(List("?state=all&limit=2").size(), 2U);
  EXPECT_EQ(List("?state=all&limit=2")[1]["id"], waiting.id);
  EXPECT_EQ(List("?state=all&cell=other").size(), 0U);
  EXPECT_EQ(Show(denied.id)["answer"]["reason"], "no");
  EXPECT_EQ(Show(denied.id.substr(0, 6))["id"], denied.id);
}

TEST_F(ApprovalsTest, APersonSeesASecretAndNothingKeepsIt) {
  Ask ask = Push();
  ask.argv = {"git", "push", "https://u:hunter2@example.com/x"};
  ask.environment = {{.name = "GIT_PASSWORD", .is_set = true, .before = "", .after = "hunter2"}};
  const auto asked = Submit(ask);
  EXPECT_THAT(Call("GET", "/v1/approvals/" + asked.id).body, HasSubstr("hunter2"));
  ASSERT_EQ(Reply(asked.id, {{"verdict", "approve"}}).status, 200);
  EXPECT_EQ(List("?state=all").size(), 1U);
  Restart();
  EXPECT_THAT(Call("GET", "/v1/approvals/" + asked.id).body,
              ::testing::AllOf(HasSubstr("approved"), ::testing::Not(HasSubstr("hunter2"))));
  for (const json& record : AskRecords()) {
    EXPECT_THAT(record.dump(), ::testing::Not(HasSubstr("hunter2")));
  }
  for (const char* name : {"/approvals.db", "/approvals.db-wal"}) {
    EXPECT_THAT(ReadText(state_.directory() + name), ::testing::Not(HasSubstr("hunter2")));
  }
}

TEST_F(ApprovalsTest, ARestartDeniesWhatWaited) {
  const auto asked = Submit(Push());
  const json answer = {{"verdict", "approve"}, {"digest", Show(asked.id)["digest"]}};
  Restart();
  EXPECT_TRUE(List().empty());
  const json ask = Show(asked.id);
  EXPECT_EQ(ask["state"], "denied");
  EXPECT_EQ(ask["answer"]["by"], "restart");
  EXPECT_THAT(ask["answer"]["reason"].get<std::string>(), HasSubstr("restarted"));
  EXPECT_EQ(Reply(asked.id, answer).status, 409);
  const auto records = AskRecords();
  EXPECT_EQ(records.back()["result"], "denied");
  EXPECT_EQ(records.back()["detail"]["id"], asked.id);
}

std::size_t ResidentKilobytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  std::size_t kilobytes = 0;
  while (status >> word) {
    if (word == "VmRSS:") status >> kilobytes;
  }
  return kilobytes;
}

TEST_F(ApprovalsTest, TenThousandAsksOfTwoHundredCellsAreSmallAndListedAtOnce) {
  constexpr int kCells = 200, kEach = 50;
  std::chrono::microseconds longest{0}, all{0};
  OnLoop([&] {
    for (int i = 0; i < kCells * kEach; ++i) {
      Ask ask = Push(i, "cell" + std::to_string(1000 + i % kCells));
      ask.parents = {"/usr/bin/make", "/usr/bin/bash", "/usr/bin/node"};
      ask.argv.emplace_back("--message=a commit message of some length, as they are");
      ask.environment = {{.name = "GIT_DIR", .is_set = true, .before = "", .after = "/tmp/x"}};
      ask.risks = {"first time in this project"};
      const auto begin = std::chrono::steady_clock::now();
      ASSERT_FALSE(approvals_->Submit(std::move(ask), [](const Decision&) {}).refusal);
      const auto time = std::chrono::duration_cast<std::chrono::microseconds>(
          std::chrono::steady_clock::now() - begin);
      longest = std::max(longest, time);
      all += time;
    }
  });
  ASSERT_THAT(journal_->Flush(20s), IsOk());
  std::chrono::milliseconds best = 1h;
  std::size_t asks = 0;
  for (int i = 0; i < 5; ++i) {
    asks = 0;
    const auto begin = std::chrono::steady_clock::now();
    (void)client::CallForLines(socket_, {.target = "/v1/approvals"}, [&](std::string_view) {
      ++asks;
      return true;
    });
    best = std::min(best, std::chrono::duration_cast<std::chrono::milliseconds>(
                              std::chrono::steady_clock::now() - begin));
  }
  const std::size_t kilobytes = ResidentKilobytes();
  // Each keeps the broker's loop for so long, whatever the disk does.
  printf("%d µs an ask, the longest %d µs\n", static_cast<int>(all.count() / (kCells * kEach)),
         static_cast<int>(longest.count()));
  printf("10,000 asks: listed in %d ms, %zu KiB resident\n", static_cast<int>(best.count()),
         kilobytes);
  EXPECT_EQ(asks, 10'000U);
  EXPECT_LT(all / (kCells * kEach), 1ms);
  EXPECT_LT(best, 200ms);
  EXPECT_LT(kilobytes, 64U * 1024);
}

}  // namespace
}  // namespace cellrun::approvals
