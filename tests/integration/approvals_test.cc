// SPDX-License-Identifier: Apache-2.0
// A command that waits for a person, answered by a second process: approve, deny, scopes, rules,
// and every way in which a cell might answer itself.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class ApprovalsTest : public Sandbox {
 protected:
  // Asks about `id`; everything else runs.
  Options Asking(const std::string& more = "", const std::string& approvals = "timeout: 60s") {
    return {.profile = WriteProfile(
                "cellrun: 1\nname: asks\nextends: [base]\ncommands:\n  default: allow\n  rules:\n"
                "    - {name: who, when: {exe: id}, then: ask, reason: tells who you are" +
                more + "}\napprovals: {" + approvals + "}\n"),
            .hold_input = true};
  }
  std::vector<json> Asks(const Words& more = {}) {
    Words words = {"approvals", "list", "-o", "jsonl"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = Cellrun(words);
    EXPECT_EQ(outcome.status, 0) << outcome;
    std::vector<json> asks;
    for (std::size_t begin = 0; begin < outcome.out.size();) {
      const std::size_t end = outcome.out.find('\n', begin);
      asks.push_back(json::parse(outcome.out.substr(begin, end - begin)));
      begin = end + 1;
    }
    return asks;
  }
  // Waits until `wanted` of them do.
  template <typename Wanted>
  std::vector<json> AwaitAsks(Wanted wanted) {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    for (;;) {
      std::vector<json> asks = Asks();
      if (wanted(asks)) return asks;
      if (std::chrono::steady_clock::now() > deadline) {
        ADD_FAILURE() << "no such asks within 30 s";
        return asks;
      }
      std::this_thread::sleep_for(5ms);
    }
  }
  std::string AwaitAsk() {
    const auto asks = AwaitAsks([](const auto& all) { return all.size() == 1; });
    return asks.empty() ? "none" : asks[0]["id"].get<std::string>();
  }
  // A shell in a cell that runs `id -u` for each line it is given.
  Process StartLoop(const Options& options) {
    return Start({"bash", "-c", "while read -r line; do id -u; echo \"status=$?\"; done"}, options);
  }
};

TEST_F(ApprovalsTest, IsApprovedByASecondProcess) {
  Process cell = Start({"bash", "-c", "id -u; echo status=$?"}, Asking());
  const std::string id = AwaitAsk();
  EXPECT_THAT(cell.out(), "") << "nothing of it may have run";
  const Outcome approved = Cellrun({"approve", id});
  EXPECT_EQ(approved.status, 0) << approved;
  EXPECT_EQ(approved.out, "") << "stdout is for data";
  const Outcome outcome = cell.Wait();
  EXPECT_THAT(outcome.out, HasSubstr("status=0\n")) << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("waiting for approval " + id));
  EXPECT_TRUE(Asks().empty());
}

TEST_F(ApprovalsTest, TheReasonOfADenialReachesTheCaller) {
  Process cell = Start({"bash", "-c", "id -u; echo status=$?"}, Asking());
  const Outcome denied =
      Cellrun({"deny", AwaitAsk().substr(0, 5), "--reason", "ask your \x1b[2Jmother"});
  EXPECT_EQ(denied.status, 0) << denied;
  const Outcome outcome = cell.Wait();
  EXPECT_EQ(outcome.out, "status=126\n") << outcome;
  EXPECT_THAT(outcome.err,
              AllOf(HasSubstr("ask your "), HasSubstr("mother"), Not(HasSubstr("\x1b"))));
}

TEST_F(ApprovalsTest, SilenceIsADenial) {
  Options options = Asking(", timeout: 1s");
  const Outcome outcome = Run({"bash", "-c", "id -u; echo status=$?"}, options);
  EXPECT_EQ(outcome.out, "status=126\n") << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("nobody answered"));
}

TEST_F(ApprovalsTest, OfAHundredAnswersOneCounts) {
  // If it ran twice, there would be two lines.
  Process cell = Start({"bash", "-c", "id -u >>ran; echo status=$?"}, Asking());
  const std::string id = AwaitAsk();
  std::vector<Process> people;
  for (int i = 0; i < 100; ++i) people.emplace_back(CellrunCommand({"approve", id}));
  int won = 0, lost = 0;
  for (Process& person : people) {
    const Outcome outcome = person.Wait();
    won += outcome.status == 0 ? 1 : 0;
    lost += outcome.status == 1 ? 1 : 0;
  }
  EXPECT_EQ(won, 1);
  EXPECT_EQ(lost, 99);
  EXPECT_THAT(cell.Wait().out, HasSubstr("status=0"));
  const std::string ran = Read(Work("ran"));
  EXPECT_EQ(std::count(ran.begin(), ran.end(), '\n'), 1);
}

TEST_F(ApprovalsTest, AnAnswerCannotBeUsedAgain) {
  Process cell = StartLoop(Asking());
  cell.Write("go\n");
  const std::string first = AwaitAsk();
  ASSERT_EQ(Cellrun({"approve", first}).status, 0);
  EXPECT_TRUE(cell.WaitForOutput("status=0\n"));
  cell.Write("go\n");
  const std::string second = AwaitAsk();
  EXPECT_NE(second, first);
  const Outcome again = Cellrun({"approve", first});
  EXPECT_EQ(again.status, 1);
  EXPECT_THAT(again.err, HasSubstr("is over"));
  EXPECT_EQ(Asks().size(), 1U);
  EXPECT_EQ(Cellrun({"deny", second}).status, 0);
  cell.CloseInput();
  EXPECT_THAT(cell.Wait().out, HasSubstr("status=126"));
}

TEST_F(ApprovalsTest, IdenticalCommandsWaitUnderOneIdAndAreLetThroughOneByOne) {
  Process cell =
      Start({"bash", "-c", "for i in 1 2 3; do id -u >>ran & done; wait; echo done"}, Asking());
  const auto waiting =
      AwaitAsks([](const auto& asks) { return asks.size() == 1 && asks[0]["waiting"] == 3; });
  ASSERT_EQ(waiting.size(), 1U);
  ASSERT_EQ(Cellrun({"approve", waiting[0]["id"]}).status, 0);
  const auto rest = AwaitAsks([&](const auto& asks) {
    return asks.size() == 1 && asks[0]["id"] != waiting[0]["id"] && asks[0]["waiting"] == 2;
  });
  ASSERT_EQ(Cellrun({"deny", rest[0]["id"]}).status, 0);
  EXPECT_THAT(cell.Wait().out, HasSubstr("done"));
  const std::string ran = Read(Work("ran"));
  EXPECT_EQ(std::count(ran.begin(), ran.end(), '\n'), 1);
}

TEST_F(ApprovalsTest, ARememberedRuleCountsAtOnceAndUntilItIsTakenBack) {
  Process cell = StartLoop(Asking());
  cell.Write("go\n");
  const Outcome approved =
      Cellrun({"approve", AwaitAsk(), "--scope", "project", "--for", "10m", "--yes"});
  ASSERT_EQ(approved.status, 0) << approved;
  ASSERT_TRUE(cell.WaitForOutput("status=0\n"));
  cell.Write("again\n");
  ASSERT_TRUE(cell.WaitForOutput("status=0\n")) << "it was asked again";

  const Outcome rules = Cellrun({"approvals", "rules", "-o", "jsonl"});
  const json rule = json::parse(rules.out);
  EXPECT_EQ(rule["scope"], "project");
  EXPECT_THAT(rule["rule"].get<std::string>(), HasSubstr("hash: \"sha256:"));
  EXPECT_THAT(rule["rule"].get<std::string>(), HasSubstr("args: [\"-u\"]"));
  EXPECT_THAT(Cellrun({"approvals", "rules"}).out, HasSubstr("exe: /usr/bin/id"));

  // Another cell of the project, and one elsewhere.
  Options other = Asking();
  other.hold_input = false;
  EXPECT_THAT(Run({"bash", "-c", "id -u; echo status=$?"}, other).out, HasSubstr("status=0"));

  std::vector<json> decided;
  for (const json& record : History({"--kind", "exec"})) {
    if (record.contains("rule") && record["rule"]["layer"] == "remembered")
      decided.push_back(record);
  }
  ASSERT_EQ(decided.size(), 2U);
  EXPECT_EQ(decided[0]["rule"]["name"], "remembered " + rule["id"].get<std::string>());
  EXPECT_THAT(Cellrun({"why", decided[0]["seq"].dump()}).out, HasSubstr("remembered"));
  EXPECT_EQ(json::parse(Cellrun({"approvals", "rules", "-o", "jsonl"}).out)["used"], 2);

  EXPECT_EQ(Cellrun({"approvals", "rules", "rm", rule["id"]}).status, 0);
  cell.Write("and again\n");
  const std::string asked = AwaitAsk();
  EXPECT_EQ(Cellrun({"deny", asked}).status, 0);
  cell.CloseInput();
  EXPECT_THAT(cell.Wait().out, HasSubstr("status=126"));
}

// What a person would be shown now was not shown then.
TEST_F(ApprovalsTest, ARememberedRuleIsNotForAnotherEnvironment) {
  Process cell = Start(
      {"bash", "-c", "while read -r line; do env $line id -u; echo \"status=$?\"; done"}, Asking());
  cell.Write("GIT_DIR=a OTHER=1\n");
  ASSERT_EQ(Cellrun({"approve", AwaitAsk(), "--scope", "project", "--yes"}).status, 0);
  ASSERT_TRUE(cell.WaitForOutput("status=0\n"));
  for (const char* same : {"GIT_DIR=a OTHER=2\n", "GIT_DIR=a ANOTHER=1\n"}) {
    cell.Write(same);
    ASSERT_TRUE(cell.WaitForOutput("status=0\n")) << same;
  }
  for (const char* more : {"GIT_DIR=b\n", "-u NOTHING\n", "GIT_DIR=a PATH=/tmp:/usr/bin\n",
                           "GIT_DIR=a GIT_CONFIG_COUNT=1\n", "GIT_DIR=a XDG_CONFIG_HOME=/tmp\n",
                           "-u HOME GIT_DIR=a\n"}) {
    cell.Write(more);
    EXPECT_EQ(Cellrun({"deny", AwaitAsk()}).status, 0) << more;
    ASSERT_TRUE(cell.WaitForOutput("status=126\n")) << more;
  }
}

// What is shown, and remembered, is the environment in which it runs.
TEST_F(ApprovalsTest, ARememberedRuleHoldsWhereTheEnvironmentIsChanged) {
  for (const char* how : {", rewrite: {env-set: {PATH: /usr/bin}}", ", run: mirror"}) {
    Options options = Asking(how);
    options.flags = {"--env", "PERL5LIB=/nowhere"};
    Process cell = Start(
        {"bash", "-c", "export BASH_ENV=x; while read -r line; do id -u; echo \"status=$?\"; done"},
        options);
    cell.Write("go\n");
    ASSERT_EQ(Cellrun({"approve", AwaitAsk(), "--scope", "cell", "--yes"}).status, 0) << how;
    ASSERT_TRUE(cell.WaitForOutput("status=0\n")) << how;
    cell.Write("again\n");
    ASSERT_TRUE(cell.WaitForOutput("status=0\n")) << "it was asked again: " << how;
  }
}

TEST_F(ApprovalsTest, ARuleThatHasExpiredIsAskedAboutAgainInARunningCell) {
  Process cell = StartLoop(Asking());
  cell.Write("go\n");
  const Outcome approved =
      Cellrun({"approve", AwaitAsk(), "--scope", "cell", "--for", "5s", "--yes"});
  ASSERT_EQ(approved.status, 0) << approved;
  ASSERT_TRUE(cell.WaitForOutput("status=0\n"));
  cell.Write("go\n");
  ASSERT_TRUE(cell.WaitForOutput("status=0\n"));
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (!Cellrun({"approvals", "rules", "-o", "name"}).out.empty()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "it does not expire";
    std::this_thread::sleep_for(20ms);
  }
  cell.Write("go\n");
  EXPECT_EQ(Cellrun({"deny", AwaitAsk()}).status, 0);
  cell.CloseInput();
  EXPECT_THAT(cell.Wait().out, HasSubstr("status=126"));
}

TEST_F(ApprovalsTest, ARememberedDenialIsNotAskedAgain) {
  Process cell = StartLoop(Asking());
  cell.Write("go\n");
  const Outcome denied = Cellrun(
      {"deny", AwaitAsk(), "--scope", "cell", "--widen", "--reason", "never here", "--yes"});
  ASSERT_EQ(denied.status, 0) << denied;
  ASSERT_TRUE(cell.WaitForOutput("status=126\n"));
  cell.Write("go\n");
  ASSERT_TRUE(cell.WaitForOutput("status=126\n"));
  cell.CloseInput();
  const Outcome outcome = cell.Wait();
  EXPECT_THAT(outcome.err, HasSubstr("never here"));
  EXPECT_TRUE(Asks().empty());
  EXPECT_EQ(Cellrun({"approvals", "rules", "-o", "name"}).out, "") << "it went with the cell";
}

TEST_F(ApprovalsTest, AWiderScopeNeedsATerminalOrYes) {
  Process cell = Start({"bash", "-c", "id -u; echo status=$?"}, Asking());
  const std::string id = AwaitAsk();
  const Outcome refused = Cellrun({"approve", id, "--scope", "always"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.err, HasSubstr("--yes"));
  EXPECT_EQ(Asks().size(), 1U);
  EXPECT_EQ(Cellrun({"deny", id}).status, 0);
  EXPECT_EQ(cell.Wait().out, "status=126\n");
}

TEST_F(ApprovalsTest, OnATerminalTheRuleIsShownAndConfirmed) {
  Process cell = Start({"bash", "-c", "id -u; echo status=$?"}, Asking());
  const std::string id = AwaitAsk();
  const Words words = {"approve", id, "--scope", "cell", "--widen"};
  {
    Terminal person(CellrunCommand(words), 60, 100);
    ASSERT_TRUE(person.Expect("runs"));
    ASSERT_TRUE(person.Expect("id -u"));
    ASSERT_TRUE(person.Expect("exe: /usr/bin/id"));
    ASSERT_TRUE(person.Expect("[y/N]"));
    person.Send("\n");
    EXPECT_EQ(person.Wait().status, 1);
  }
  EXPECT_EQ(Asks().size(), 1U) << "Enter is no answer";
  Terminal person(CellrunCommand(words), 60, 100);
  ASSERT_TRUE(person.Expect("[y/N]"));
  person.Send("y\n");
  EXPECT_EQ(person.Wait().status, 0);
  EXPECT_THAT(cell.Wait().out, HasSubstr("status=0"));
}

TEST_F(ApprovalsTest, ArgumentsAreEditedBeforeTheyRun) {
  Process cell = StartLoop(Asking());
  cell.Write("go\n");
  Outcome approved = Cellrun({"approve", AwaitAsk(), "--argv", R"(["id", "-un"])"});
  ASSERT_EQ(approved.status, 0) << approved;
  ASSERT_TRUE(cell.WaitForOutput("status=0\n"));
  EXPECT_THAT(cell.out(), HasSubstr(IsRootLane() ? "cell\n" : "cellrun-test\n"));
  cell.Write("go\n");
  const std::string editor =
      Write(Path("editor"), "#!/bin/sh\nprintf '[\"id\", \"--version\"]' >\"$1\"\n", 0755);
  approved = Cellrun({"approve", AwaitAsk(), "--edit"}, {.environment = {{"EDITOR", editor}}});
  ASSERT_EQ(approved.status, 0) << approved;
  ASSERT_TRUE(cell.WaitForOutput("coreutils"));
  cell.CloseInput();
  (void)cell.Wait();
  EXPECT_EQ(Asks({"--state", "all"})[0]["answer"]["edited"], true);
}

TEST_F(ApprovalsTest, ARestartedBrokerDeniesWhatWaited) {
  MayLeaveSockets();
  std::string id;
  {
    Process cell = Start({"bash", "-c", "id -u; echo status=$?"}, Asking());
    id = AwaitAsk();
    EXPECT_EQ(Asks({"--state", "all"}).size(), 1U);
    // It is written a moment after it is shown.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    const auto stored = [&] {
      return (Read(Path("state/approvals.db")) + Read(Path("state/approvals.db-wal"))).find(id) !=
             std::string::npos;
    };
    while (!stored() && std::chrono::steady_clock::now() < deadline) usleep(5000);
    ASSERT_TRUE(stored());
    kill(BrokerPid(), SIGKILL);
    EXPECT_NE(cell.Wait().status, 0);
  }
  StartBroker();
  EXPECT_TRUE(Asks().empty());
  const auto all = Asks({"--state", "all"});
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0]["id"], id);
  EXPECT_EQ(all[0]["state"], "denied");
  EXPECT_EQ(all[0]["answer"]["by"], "restart");
  EXPECT_EQ(Cellrun({"approve", id}).status, 1);
}

TEST_F(ApprovalsTest, TheJournalSaysWhoAnsweredWhat) {
  Process cell = Start({"bash", "-c", "id -u; echo status=$?"}, Asking());
  const std::string id = AwaitAsk();
  ASSERT_EQ(Cellrun({"approve", id}).status, 0);
  (void)cell.Wait();
  const auto records = History({"--asks"});
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0]["result"], "pending");
  EXPECT_EQ(records[1]["result"], "approved");
  EXPECT_EQ(records[1]["detail"]["id"], id);
  EXPECT_EQ(records[1]["detail"]["digest"], records[0]["detail"]["digest"]);
  EXPECT_EQ(records[1]["detail"]["uid"], getuid());
  EXPECT_GE(records[1]["detail"]["after_ms"], 0);
  const json report = json::parse(Cellrun({"approvals", "report", "-o", "json"}).out);
  EXPECT_EQ(report["asked"], 1);
  EXPECT_EQ(report["approval_rate"], 1.0);
  EXPECT_TRUE(report["median_thinking_ms"].is_number());
}

// Connects to each of the broker's sockets and tries to answer.
constexpr char kAnswerItself[] = R"(
import glob, json, socket, sys
def ask(path, request):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(10)
    connection.connect(path)
    connection.sendall(request.encode())
    reply = b""
    while True:
        part = connection.recv(65536)
        if not part: return reply.decode()
        reply += part
directory = sys.argv[1]
try:
    head = "Host: x\r\nConnection: close\r\n"
    listed = ask(directory + "/api.sock", "GET /v1/approvals HTTP/1.1\r\n" + head + "\r\n")
    print("listed:", listed.splitlines()[0])
    for line in listed.splitlines():
        if not line.startswith("{\"id\""): continue
        one = json.loads(line)
        body = json.dumps({"verdict": "approve", "digest": one["digest"]})
        print("answered:", ask(directory + "/api.sock", "POST /v1/approvals/" + one["id"] +
              " HTTP/1.1\r\n" + head + "Content-Length: " + str(len(body)) + "\r\n\r\n" + body).splitlines()[0])
except OSError as error:
    print("api.sock:", error)
for name in ("launch.sock", "listener.sock"):
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        try:
            connection = socket.socket(socket.AF_UNIX, kind)
            connection.settimeout(10)
            connection.connect(directory + "/" + name)
            connection.send(b'{"cellrun":"0","type":"hello"}')
            print(name, "reply:", len(connection.recv(4096)))
        except OSError as error:
            print(name, "refused")
)";

TEST_F(ApprovalsTest, ACellCannotAnswerItself) {
  const std::string script = Write(Work("answer.py"), kAnswerItself);
  Options options = Asking();
  // Even where somebody let the sockets in.
  options.flags = {"--write", RuntimeDirectory()};
  Process cell =
      Start({"bash", "-c",
             "id -u & sleep 0; while read -r line; do python3 answer.py " + RuntimeDirectory() +
                 "; " + Prefix() + "/bin/cellrun approve $line; echo tried; done; wait; echo done"},
            options);
  const std::string id = AwaitAsk();
  cell.Write(id + "\n");
  ASSERT_TRUE(cell.WaitForOutput("tried\n"));
  EXPECT_EQ(AwaitAsk(), id) << "the cell answered itself";
  EXPECT_THAT(cell.out(), Not(HasSubstr("200 OK")));
  EXPECT_THAT(cell.out(), Not(HasSubstr("answered:")));

  // The same script outside does answer: the attack is one.
  const Outcome outside = Bare({"python3", script, RuntimeDirectory()});
  EXPECT_THAT(outside.out, HasSubstr("answered: HTTP/1.1 200")) << outside;
  cell.CloseInput();
  EXPECT_THAT(cell.Wait().out, HasSubstr("done"));
}

TEST_F(ApprovalsTest, WhatTheBrokerRunsForACellCannotAnswerEither) {
  Write(Work("answer.py"), kAnswerItself);
  const std::string elsewhere =
      "    - {when: {exe: python3, args: ['**', mirror]}, then: allow, run: mirror}\n"
      "    - {when: {exe: python3, args: ['**', ghost]}, then: allow, "
      "run: ghost, ghost: {write: ['" +
      RuntimeDirectory() + "']}}\n";
  Process cell =
      Start({"bash", "-c",
             "id -u & read -r line; for how in mirror ghost; do python3 answer.py " +
                 RuntimeDirectory() + " $how; done; echo tried; read -r line; echo done"},
            {.profile = WriteProfile("cellrun: 1\nname: asks\nextends: [base]\n"
                                     "approvals: {timeout: 60s}\ncommands:\n"
                                     "  default: allow\n  rules:\n"
                                     "    - {when: {exe: id}, then: ask}\n" +
                                     elsewhere),
             .flags = {"--write", RuntimeDirectory()},
             .hold_input = true});
  const std::string id = AwaitAsk();
  cell.Write("go\n");
  ASSERT_TRUE(cell.WaitForOutput("tried\n")) << cell.err();
  EXPECT_EQ(AwaitAsk(), id) << "it answered";
  EXPECT_THAT(cell.out(), Not(HasSubstr("200 OK")));
  EXPECT_THAT(cell.out(), Not(HasSubstr("answered:")));
  // Both reached its socket, and were sent away.
  int refused = 0;
  for (const char* end : {"api.sock: [Errno 104]", "api.sock: [Errno 32]"}) {
    for (std::size_t at = 0; (at = cell.out().find(end, at)) != std::string::npos; ++at) ++refused;
  }
  EXPECT_EQ(refused, 2) << cell.out() << cell.err();
  cell.CloseInput();
  cell.Wait();
}

}  // namespace
}  // namespace cellrun::test
