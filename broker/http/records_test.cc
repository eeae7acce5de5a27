// SPDX-License-Identifier: Apache-2.0
#include "broker/http/records.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "broker/http/server.h"
#include "broker/journal/documents.h"
#include "broker/journal/temporary_journal.h"
#include "launcher/client/http.h"
#include "lib/sys/file.h"
#include "lib/sys/socket.h"
#include "tests/support/result_matchers.h"

namespace cellrun::http {
namespace {

using nlohmann::json;
using test::IsOk;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kProfile = R"(cellrun: 1
name: small
commands:
  default: deny
  rules:
    - {name: no push, when: {exe: git, args: [push, "**"]}, then: deny, message: not from here}
    - {name: git, when: {exe: git}, then: allow}
)";

// The journal's routes on a server, asked as the launcher asks them.
class RecordsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    journal_ = journal::OpenJournal(state_);
    Fill();
    ASSERT_THAT(journal_->Flush(std::chrono::seconds(5)), IsOk());
    records_ = Records::Make(*journal_);
    Router router;
    records_->Register(router);
    socket_ = state_.directory() + "/api.sock";
    UniqueFd listener = sys::UnixSocket(SOCK_STREAM).value();
    ASSERT_THAT(sys::BindUnix(listener, socket_), IsOk());
    ASSERT_THAT(sys::Listen(listener, 64), IsOk());
    server_ = Server::Start(loop_, std::move(listener), std::move(router)).value();
    thread_ = std::thread([this] { loop_.Run(); });
  }
  void TearDown() override {
    loop_.Post([this] {
      server_.reset();
      records_.reset();
      loop_.Stop();
    });
    thread_.join();
    EXPECT_THAT(journal_->Close(), IsOk());
  }
  // 1: the cell's start; 2: git status; 3: git push; 4: mount, blocked; 5: the push again, late.
  void Fill() {
    policy::Source profile;
    profile.name = "small";
    profile.origin = "/profiles/small.yaml";
    profile.text = kProfile;
    const policy::Places places{.home = "/home/u", .workspace = "/work"};
    journal::Record start;
    start.cell = "aa11";
    start.kind = journal::Kind::kCell;
    start.name = "quiet-otter";
    start.verdict = policy::Action::kAllow;
    start.result = "started";
    start.detail =
        json({{"documents", journal::KeepDocuments(*journal_, {profile}, places).value()}}).dump();
    ASSERT_EQ(journal_->Append(std::move(start)), 1U);
    ASSERT_EQ(journal_->Append(Git("status", policy::Action::kAllow, 7)), 2U);
    ASSERT_EQ(journal_->Append(Git("push", policy::Action::kDeny, 6)), 3U);
    journal::Record blocked;
    blocked.cell = "aa11";
    blocked.kind = journal::Kind::kSyscall;
    blocked.name = "mount";
    ASSERT_EQ(journal_->Append(std::move(blocked)), 4U);
  }
  static journal::Record Git(const std::string& verb, policy::Action verdict, int line) {
    journal::Record record = journal::ExecRecord(GitPath(), "aa11");
    record.argv = {"git", verb};
    record.verdict = verdict;
    record.rule.name = verdict == policy::Action::kDeny ? "no push" : "git";
    record.rule.at = {"/profiles/small.yaml", line, 7};
    return record;
  }
  static std::string GitPath() { return "/usr/bin/git"; }
  client::HttpResponse Get(const std::string& target) {
    return client::Call(socket_, {.target = target}).value();
  }
  std::vector<std::uint64_t> Seqs(const std::string& target) {
    std::vector<std::uint64_t> seqs;
    const auto response =
        client::CallForLines(socket_, {.target = target}, [&](std::string_view line) {
          seqs.push_back(json::parse(line).at("seq"));
          return true;
        });
    EXPECT_EQ(response->status, 200) << response->body;
    return seqs;
  }

  journal::TemporaryState state_;
  std::unique_ptr<journal::Journal> journal_;
  loop::Loop loop_;
  std::unique_ptr<Records> records_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
  std::string socket_;
};

TEST_F(RecordsTest, FiltersByQuery) {
  EXPECT_THAT(Seqs("/v1/records"), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(Seqs("/v1/records?verdict=deny"), ElementsAre(3, 4));
  EXPECT_THAT(Seqs("/v1/records?kind=exec,cell&limit=2"), ElementsAre(2, 3));
  EXPECT_THAT(Seqs("/v1/records?cell=quiet-otter&exe=git&after=2"), ElementsAre(3));
  EXPECT_THAT(Seqs("/v1/records?since=2100-01-01T00:00:00Z"), ElementsAre());
}

TEST_F(RecordsTest, RefusesWhatItDoesNotKnow) {
  for (const char* target :
       {"/v1/records?color=red", "/v1/records?kind=exce", "/v1/records?limit=0",
        "/v1/records?limit=-1", "/v1/records?since=yesterday", "/v1/records?kind=exec&kind=cell",
        "/v1/records?exe=*********", "/v1/records/x", "/v1/audit/export?format=xml",
        "/v1/audit/verify?head=12", "/v1/audit/verify?x=1"}) {
    const auto response = Get(target);
    EXPECT_EQ(response.status, 400) << target;
    EXPECT_TRUE(json::parse(response.body).at("error").contains("what")) << target;
  }
  EXPECT_EQ(Get("/v1/records/99").status, 404);
  EXPECT_EQ(Get("/v1/records/99/why").status, 404);
}

TEST_F(RecordsTest, GivesOneRecord) {
  const json record = json::parse(Get("/v1/records/3").body);
  EXPECT_EQ(record["argv"], json({"git", "push"}));
  EXPECT_EQ(record["rule"]["line"], 6);
  EXPECT_EQ(record["hash"].get<std::string>().size(), 64U);
}

TEST_F(RecordsTest, FollowsAcrossCommitsAndEndsWithItsReader) {
  std::vector<std::uint64_t> seen;
  std::thread writer;
  const auto response = client::CallForLines(
      socket_, {.target = "/v1/records?verdict=deny&follow=1&limit=1"}, [&](std::string_view line) {
        seen.push_back(json::parse(line).at("seq"));
        if (seen.size() == 1) {
          writer = std::thread([this] {
            for (int i = 0; i < 3; ++i) {
              journal_->Append(Git("status", policy::Action::kAllow, 7));
              journal_->Append(Git("push", policy::Action::kDeny, 6));
              EXPECT_THAT(journal_->Flush(std::chrono::seconds(5)), IsOk());
            }
          });
        }
        return seen.size() < 4;
      });
  writer.join();
  ASSERT_THAT(response, IsOk());
  EXPECT_THAT(seen, ElementsAre(4, 6, 8, 10));
}

TEST_F(RecordsTest, ManyFollowersSeeEveryRecordOnce) {
  constexpr int kFollowers = 8;
  constexpr std::size_t kRecords = 500;
  std::vector<std::thread> followers;
  std::vector<std::vector<std::uint64_t>> seen(kFollowers);
  for (auto& mine : seen) {
    followers.emplace_back([this, &mine] {
      (void)client::CallForLines(socket_, {.target = "/v1/records?follow=1"},
                                 [&](std::string_view line) {
                                   mine.push_back(json::parse(line).at("seq"));
                                   return mine.size() < kRecords;
                                 });
    });
  }
  for (std::size_t i = 0; i < kRecords; ++i) {
    EXPECT_NE(journal_->Append(Git("status", policy::Action::kAllow, 7)), 0U);
  }
  for (std::thread& follower : followers) follower.join();
  for (const auto& mine : seen) {
    ASSERT_EQ(mine.size(), kRecords);
    for (std::size_t i = 0; i < kRecords; ++i) EXPECT_EQ(mine[i], i + 1);
  }
}

TEST_F(RecordsTest, VerifiesTheChainAgainstWhatTheBrokerKnows) {
  json report = json::parse(Get("/v1/audit/verify").body);
  EXPECT_EQ(report["intact"], true);
  EXPECT_EQ(report["records"], 4);
  const std::string head = "4:" + report["head"]["hash"].get<std::string>();
  EXPECT_EQ(json::parse(Get("/v1/audit/verify?head=" + head).body)["intact"], true);
  // Cut by somebody who forged the head as well: the running broker remembers better.
  state_.Tamper(
      "DELETE FROM records WHERE seq = 4;"
      "UPDATE head SET seq = 3, hash = (SELECT hash FROM records WHERE seq = 3)");
  report = json::parse(Get("/v1/audit/verify").body);
  EXPECT_EQ(report["intact"], false);
  EXPECT_EQ(report["bad"], 4);
}

TEST_F(RecordsTest, ExportsRecordsAndOcsfEvents) {
  EXPECT_THAT(Seqs("/v1/audit/export"), ElementsAre(1, 2, 3, 4));
  std::vector<json> events;
  (void)client::CallForLines(socket_, {.target = "/v1/audit/export?format=ocsf"},
                             [&](std::string_view line) {
                               events.push_back(json::parse(line));
                               return true;
                             });
  ASSERT_EQ(events.size(), 4U);
  const json& denied = events[2];
  EXPECT_EQ(denied["class_uid"], 1007);
  EXPECT_EQ(denied["type_uid"], 100701);
  EXPECT_EQ(denied["status"], "Failure");
  EXPECT_EQ(denied["action"], "Denied");
  EXPECT_EQ(denied["process"]["file"]["path"], GitPath());
  EXPECT_EQ(denied["process"]["cmd_line"], "git push");
  EXPECT_EQ(denied["firewall_rule"]["name"], "no push");
  EXPECT_EQ(denied["unmapped"]["seq"], 3);
  EXPECT_GT(denied["time"].get<std::int64_t>(), 1'600'000'000'000);
}

TEST_F(RecordsTest, WhyNamesTheDecidingRuleAndTheLosers) {
  const json denied = json::parse(Get("/v1/records/3/why").body);
  EXPECT_EQ(denied["verdict"], "deny");
  EXPECT_EQ(denied["rule"]["name"], "no push");
  EXPECT_EQ(denied["message"], "not from here");
  ASSERT_GE(denied["trials"].size(), 2U) << denied.dump(1);
  EXPECT_EQ(denied["trials"][0]["decided"], true) << denied.dump(1);
  EXPECT_EQ(denied["trials"][1]["matched"], true);
  EXPECT_FALSE(denied["change"].get<std::string>().empty());
  EXPECT_TRUE(denied["notes"].empty()) << denied["notes"].dump();

  const json allowed = json::parse(Get("/v1/records/2/why").body);
  EXPECT_EQ(allowed["verdict"], "allow");
  EXPECT_EQ(allowed["trials"][0]["matched"], false);
  EXPECT_THAT(allowed["trials"][0]["failed"].get<std::string>(), HasSubstr("args"));
}

TEST_F(RecordsTest, WhySaysWhatItCannotTell) {
  const json blocked = json::parse(Get("/v1/records/4/why").body);
  EXPECT_EQ(blocked["verdict"], "deny");
  EXPECT_TRUE(blocked["trials"].empty());
  ASSERT_NE(journal_->Append(journal::ExecRecord("/bin/x", "unknown")), 0U);
  ASSERT_THAT(journal_->Flush(std::chrono::seconds(5)), IsOk());
  const json orphan = json::parse(Get("/v1/records/5/why").body);
  ASSERT_EQ(orphan["notes"].size(), 1U);
  EXPECT_THAT(orphan["notes"][0].get<std::string>(), HasSubstr("no longer in the journal"));
}

TEST_F(RecordsTest, ALateResultIsPartOfTheExplanation) {
  journal_->SetResult(3, "mismatch");
  ASSERT_THAT(journal_->Flush(std::chrono::seconds(5)), IsOk());
  EXPECT_EQ(json::parse(Get("/v1/records/3/why").body)["result"], "mismatch");
  EXPECT_EQ(json::parse(Get("/v1/records/5/why").body)["record"]["seq"], 3);
}

// What AnswerOffline writes to standard output, in a child.
std::string Offline(const std::string& database, const std::string& target) {
  sys::Pipe pipe = sys::Pipe2(O_CLOEXEC).value();
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(pipe.write.get(), STDOUT_FILENO);
    _exit(AnswerOffline(database, target));
  }
  pipe.write.Reset();
  std::string out = sys::ReadWholeFile(pipe.read, 1 << 20).value();
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0);
  return out;
}

TEST(AnswerOfflineTest, GivesTheSameAnswersFromTheFileAlone) {
  journal::TemporaryState state;
  auto journal = journal::OpenJournal(state);
  journal->Append(journal::ExecRecord("/bin/a"));
  journal->Append(journal::ExecRecord("/bin/b"));
  ASSERT_THAT(journal->Close(), IsOk());
  const std::string records = Offline(state.database(), "/v1/records?exe=b");
  EXPECT_THAT(records, ::testing::StartsWith("200\n{\"seq\":2"));
  EXPECT_THAT(Offline(state.database(), "/v1/audit/verify"), HasSubstr("\"intact\":true"));
  EXPECT_THAT(Offline(state.database(), "/v1/records/9"), ::testing::StartsWith("404\n"));
  EXPECT_THAT(Offline(state.database(), "nonsense"), ::testing::StartsWith("400\n"));
  EXPECT_THAT(Offline(state.database() + "x", "/v1/records"), ::testing::StartsWith("500\n"));
}

}  // namespace
}  // namespace cellrun::http
