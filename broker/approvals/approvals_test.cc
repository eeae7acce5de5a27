// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/approvals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "broker/approvals/routes.h"
#include "broker/journal/temporary_journal.h"
#include "launcher/client/http.h"
#include "lib/sys/socket.h"
#include "tests/support/result_matchers.h"

namespace cellrun::approvals {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using test::IsOk;
using ::testing::HasSubstr;

Ask Push(int number = 0, const std::string& cell = "0123456789ab") {
  Ask ask;
  ask.cell_id = cell;
  ask.cell_name = "quiet-otter";
  ask.profile = "strict";
  ask.workspace = "/home/u/p";
  ask.pid = 4711;
  ask.cwd = "/home/u/p";
  ask.program = "/usr/bin/git";
  ask.image_hash = std::string(64, 'a');
  ask.argv = {"git", "push", std::to_string(number)};
  ask.environment_digest = std::string(64, 'e');
  ask.rule = {.name = "push", .layer = policy::Layer::kProfile, .at = {"strict.yaml", 26, 5}};
  ask.timeout = 100s;
  return ask;
}

// A queue behind its routes, asked as the launcher asks it.
class ApprovalsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    journal_ = journal::OpenJournal(state_);
    Start();
  }
  void Start() {
    loop_ = std::make_unique<loop::Loop>();
    approvals_ = Approvals::Open(*loop_, *journal_, state_.directory()).value();
    http::Router router;
    routes_ = Routes::Make(*loop_, *approvals_, *journal_);
    routes_->Register(router);
    socket_ = state_.directory() + "/api.sock";
    UniqueFd listener = sys::UnixSocket(SOCK_STREAM).value();
    ASSERT_THAT(sys::BindUnix(listener, socket_), IsOk());
    ASSERT_THAT(sys::Listen(listener, 128), IsOk());
    server_ = http::Server::Start(*loop_, std::move(listener), std::move(router),
                                  {.max_connections = 256})
                  .value();
    thread_ = std::thread([this] { loop_->Run(); });
  }
  void Stop() {
    OnLoop([this] {
      server_.reset();
      routes_.reset();
      approvals_.reset();
      loop_->Stop();
    });
    thread_.join();
    loop_.reset();
  }
  void TearDown() override {
    Stop();
    EXPECT_THAT(journal_->Close(), IsOk());
  }
  template <typename Work>
  void OnLoop(Work work) {
    std::promise<void> done;
    loop_->Post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }
  Queue::Submission Submit(
      Ask ask, Queue::Decided decided = [](const Decision&) {}) {
    Queue::Submission submission;
    OnLoop([&] { submission = approvals_->Submit(std::move(ask), std::move(decided)); });
    return submission;
  }
  client::HttpResponse Call(const std::string& method, const std::string& target,
                            const std::string& body = "") {
    return client::Call(socket_, {.method = method, .target = target, .body = body}).value();
  }
  json Show(const std::string& id) { return json::parse(Call("GET", "/v1/approvals/" + id).body); }
  client::HttpResponse Reply(const std::string& id, json answer) {
    if (!answer.contains("digest")) answer["digest"] = Show(id)["digest"];
    return Call("POST", "/v1/approvals/" + id, answer.dump());
  }
  std::vector<json> List(const std::string& query = "") {
    std::vector<json> asks;
    (void)client::CallForLines(socket_, {.target = "/v1/approvals" + query},
                               [&](std::string_view line) {
                                 asks.push_back(json::parse(line));
                                 return true;
                               });
    return asks;
  }
  std::vector<json> RuleList() {
    std::vector<json> rules;
    (void)client::CallForLines(socket_, {.target = "/v1/approval-rules"},
                               [&](std::string_view line) {
                                 rules.push_back(json::parse(line));
                                 return true;
                               });
    return rules;
  }
  static std::string ReadText(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Restart() {
    Stop();
    unlink(socket_.c_str());
    Start();
  }
  std::vector<json> AskRecords() {
    EXPECT_THAT(journal_->Flush(5s), IsOk());
    std::vector<json> records;
    for (const std::string& text : state_.Records({.kinds = {"ask"}})) {
      records.push_back(json::parse(text));
    }
    return records;
  }

  journal::TemporaryState state_;
  std::string socket_;
  std::unique_ptr<loop::Loop> loop_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<Approvals> approvals_;
  std::unique_ptr<Routes> routes_;
  std::unique_ptr<http::Server> server_;
  std::thread thread_;
};

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

TEST_F(ApprovalsTest, AWiderScopeIsRememberedShownAndTakenBack) {
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

TEST_F(ApprovalsTest, RulesOfACellGoWithIt) {
  const auto asked = Submit(Push());
  ASSERT_EQ(Reply(asked.id, {{"verdict", "deny"}, {"scope", "cell"}}).status, 200);
  EXPECT_EQ(RuleList().size(), 1U);
  EXPECT_EQ(RuleList()[0]["verdict"], "deny");
  OnLoop([&] { approvals_->ForgetCell("0123456789ab"); });
  EXPECT_TRUE(RuleList().empty());
}

TEST_F(ApprovalsTest, RulesExpireByThemselves) {
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

TEST_F(ApprovalsTest, WithoutATimeRulesLastAMonthOrAsLongAsTheCell) {
  (void)Reply(Submit(Push(1)).id, {{"verdict", "approve"}, {"scope", "always"}});
  (void)Reply(Submit(Push(2)).id, {{"verdict", "approve"}, {"scope", "cell"}});
  const auto rules = RuleList();
  ASSERT_EQ(rules.size(), 2U);
  for (const json& rule : rules) EXPECT_EQ(rule["expires"].is_null(), rule["scope"] == "cell");
}

TEST_F(ApprovalsTest, ThePreviewShowsTheRuleAndWhatItWouldMatch) {
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

TEST_F(ApprovalsTest, AnUnrememberableAnswerLeavesTheAskPending) {
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
