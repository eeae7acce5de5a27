// SPDX-License-Identifier: Apache-2.0
// What a command that waits for a person is to those around it, and that precisely what was shown
// runs, whatever changes meanwhile.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class WaitingTest : public Sandbox {
 protected:
  // Asks about what `when` matches; everything else runs.
  Options Asking(const std::string& when = "exe: id", const std::string& more = "") {
    return {.profile = WriteProfile(
                "cellrun: 1\nname: asks\nextends: [base]\ncommands:\n  default: allow\n  rules:\n"
                "    - {when: {" +
                when + "}, then: ask" + more +
                "}\n"
                "approvals: {timeout: 60s}\n"),
            .hold_input = true};
  }
  // The next ask that was not returned before.
  json NextAsk() {
    json next;
    EXPECT_TRUE(Until([&] {
      const Outcome list = Cellrun({"approvals", "list", "-o", "json"});
      if (list.status != 0) return false;
      for (const json& ask : json::parse(list.out)) {
        if (!seen_.insert(ask["id"].get<std::string>()).second) continue;
        next = ask;
        return true;
      }
      return false;
    })) << "no ask came";
    return next;
  }
  std::string NextId() { return NextAsk().value("id", "none"); }
  void Approve(const std::string& id, const Words& more = {}) {
    Words words = {"approve", id};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = Cellrun(words);
    EXPECT_EQ(outcome.status, 0) << outcome;
  }
  void Deny(const std::string& id) { EXPECT_EQ(Cellrun({"deny", id}).status, 0); }
  void AwaitNoAsk() {
    EXPECT_TRUE(Until([&] { return Cellrun({"approvals", "list", "-o", "json"}).out == "[]\n"; }));
  }

  std::set<std::string> seen_;
};

TEST_F(WaitingTest, SaysSoOnceAndLeavesStandardOutputAlone) {
  Process cell = Start({"bash", "-c", "id -u"}, Asking());
  const std::string id = NextId();
  Approve(id);
  const Outcome outcome = cell.Wait();
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 1) << outcome;
  EXPECT_THAT(outcome.err, StartsWith("cellrun: waiting for approval " + id + " (1m)\n"));
  EXPECT_EQ(outcome.err.find("waiting"), outcome.err.rfind("waiting")) << outcome;
  EXPECT_THAT(outcome.err, Not(HasSubstr("left")));
}

// What a person approves is what the rule makes of the command, arguments and environment.
TEST_F(WaitingTest, ShowsEveryVariableThatItsRuleRewrites) {
  Process cell =
      Start({"bash", "-c", "export KEPT=1 DROPPED=2; sh -c 'echo $KEPT-$DROPPED-$ADDED'"},
            Asking("exe: sh", ", rewrite: {env-set: {ADDED: three}, env-drop: ['DROP*']}"));
  const json ask = NextAsk();
  std::map<std::string, json> changes;
  for (const json& change : ask["env"]) changes[change["name"].get<std::string>()] = change;
  EXPECT_EQ(changes["ADDED"].value("after", ""), "three") << ask;
  EXPECT_TRUE(changes.contains("DROPPED")) << ask;
  EXPECT_FALSE(changes.contains("KEPT")) << ask;
  Approve(ask["id"].get<std::string>());
  EXPECT_EQ(cell.Wait().out, "1--three\n");
}

TEST_F(WaitingTest, DoesNotWaitLongWhereNobodyIsThere) {
  const Outcome outcome =
      Run({"bash", "-c", "id -u; echo status=$?; id -u; echo status=$?"},
          {.profile = WriteProfile("cellrun: 1\nname: asks\nextends: [base]\ncommands:\n"
                                   "  default: allow\n  rules:\n"
                                   "    - {when: {exe: id}, then: ask}\n")});
  EXPECT_EQ(outcome.out, "status=126\nstatus=126\n") << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("waiting for approval"));
  EXPECT_THAT(outcome.err, HasSubstr("no approver is connected"));
}

// ---- Those who start it go on meanwhile, and get its status.

struct Caller {
  const char* name;
  Words argv;
};
class WaitingCallerTest : public WaitingTest, public testing::WithParamInterface<Caller> {};

TEST_P(WaitingCallerTest, GoesOnMeanwhileAndGetsTheStatus) {
  const Caller& caller = GetParam();
  if (Bare({"bash", "-c", "command -v " + caller.argv[0]}).status != 0) {
    REQUIRE_OR_SKIP(false, caller.argv[0] + " is not installed");
  }
  Write(Work("Makefile"),
        "all: asked other\nasked:\n\tid -u > asked\nother:\n\techo went-on; touch went-on\n");
  Write(Work("caller.go"),
        "package main\nimport (\"os\"; \"os/exec\")\nfunc main() {\n"
        "  out, _ := os.Create(\"asked\"); c := exec.Command(\"id\", \"-u\"); c.Stdout = out\n"
        "  if c.Start() != nil { os.Exit(3) }\n  os.WriteFile(\"went-on\", nil, 0644)\n"
        "  if c.Wait() != nil { os.Exit(4) }\n}\n");
  Options options = Asking();
  options.time_limit = 100s;
  options.flags = {"--env", "GOCACHE=/tmp/go", "--env", "GOFLAGS=-mod=mod"};
  Process cell = Start(caller.argv, options);
  const std::string id = NextId();
  EXPECT_TRUE(Until([&] { return Exists(Work("went-on")); }));
  Approve(id);
  const Outcome outcome = cell.Wait();
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(std::strtoul(Read(Work("asked")).c_str(), nullptr, 10) > 0, true) << outcome;
}

const Caller kCallers[] = {
    {"bash", {"bash", "-c", "id -u > asked & touch went-on; wait $!"}},
    {"python",
     {"python3", "-c",
      "import subprocess as s\n"
      "p = s.Popen(['id', '-u'], stdout=open('asked', 'w'))\n"
      "open('went-on', 'w').close()\n"
      "raise SystemExit(p.wait())"}},
    {"node",
     {"node", "-e",
      "const fs = require('fs');"
      "const p = require('child_process').spawn('id', ['-u'], {stdio: ['ignore', "
      "fs.openSync('asked', 'w'), 'inherit']});"
      "p.on('exit', code => process.exit(code));"
      "setTimeout(() => fs.writeFileSync('went-on', ''), 1);"}},
    {"make", {"make", "-j2", "-s"}},
    {"go", {"go", "run", "caller.go"}},
    {"perl",
     {"perl", "-e",
      "my $p = fork; if (!$p) { open STDOUT, '>', 'asked'; exec 'id', '-u' } "
      "open my $f, '>', 'went-on'; waitpid $p, 0; exit $? >> 8"}},
};
INSTANTIATE_TEST_SUITE_P(Callers, WaitingCallerTest, testing::ValuesIn(kCallers),
                         [](const auto& each) { return std::string(each.param.name); });

// ---- Signals.

TEST_F(WaitingTest, IsEndedByASignalLikeAnyCommand) {
  for (const char* signal : {"INT", "TERM", "HUP", "KILL"}) {
    Process cell = Start({"bash", "-c",
                          "set -m; id -u & p=$!; read -r line; kill -" + std::string(signal) +
                              " $p; wait $p; echo status=$?"},
                         Asking());
    const std::string id = NextId();
    cell.Write("go\n");
    ASSERT_TRUE(cell.WaitForOutput("status=")) << signal;
    const Outcome outcome = cell.Wait();
    EXPECT_THAT(outcome.out, Not(HasSubstr("status=0"))) << signal;
    AwaitNoAsk();
    EXPECT_NE(Cellrun({"approve", id}).status, 0) << "nobody waits any more";
  }
}

TEST_F(WaitingTest, IsStoppedAndContinuedLikeAnyCommand) {
  Process cell = Start({"bash", "-c",
                        "id -u & p=$!; read -r line; kill -STOP $p; echo stopped; read -r line; "
                        "kill -CONT $p; wait $p; echo status=$?"},
                       Asking());
  const json ask = NextAsk();
  const std::string stat = "/proc/" + std::to_string(ask["pid"].get<int>()) + "/stat";
  cell.Write("stop\n");
  ASSERT_TRUE(cell.WaitForOutput("stopped"));
  EXPECT_TRUE(Until([&] { return Read(stat).find(") T ") != std::string::npos; }));
  Approve(ask["id"].get<std::string>());
  EXPECT_THAT(Read(stat), HasSubstr(") T ")) << "it does nothing until it goes on";
  cell.Write("go on\n");
  EXPECT_THAT(cell.Wait().out, HasSubstr("status=0"));
}

TEST_F(WaitingTest, OutlivesItsParentAsACommandDoes) {
  Process cell = Start({"bash", "-c",
                        "(id -u > asked &); echo left; read -r line; until test -s "
                        "asked; do sleep 0.01; done"},
                       Asking());
  const std::string id = NextId();
  ASSERT_TRUE(cell.WaitForOutput("left"));
  Approve(id);
  cell.Write("go\n");
  EXPECT_EQ(cell.Wait().status, 0);
}

TEST_F(WaitingTest, EndsWithItsCell) {
  Process cell = Start({"id", "-u"}, Asking());
  const std::string id = NextId();
  cell.Signal(SIGTERM);
  EXPECT_EQ(cell.Wait().status, 128 + SIGTERM);
  AwaitNoAsk();
}

TEST_F(WaitingTest, IsDeniedWhenTheBrokerEnds) {
  const pid_t broker = StartBroker();
  Process cell = Start({"bash", "-c", "id -u; echo status=$?"}, Asking());
  (void)NextId();
  kill(broker, SIGTERM);
  const Outcome outcome = cell.Wait();
  EXPECT_NE(outcome.status, 0);
  EXPECT_THAT(outcome.out, Not(HasSubstr("status=0")));
}

TEST_F(WaitingTest, WhatIsDeniedCanBeProposedFromInside) {
  Options options = {.profile = WriteProfile(
                         "cellrun: 1\nname: denies\nextends: [base]\ncommands:\n  default: allow\n"
                         "  rules:\n    - {name: no-id, when: {exe: id}, then: deny}\n"
                         "approvals: {timeout: 60s}\n"),
                     .flags = {"--read", Prefix()},
                     .hold_input = true};
  const std::string request = Prefix() + "/bin/cellrun request --reason 'I need it' -- id -u";
  Process cell =
      Start({"bash", "-c", "id -u; echo status=$?; " + request + "; echo status=$?"}, options);
  const json ask = NextAsk();
  EXPECT_EQ(ask["said_by_cell"], "I need it");
  EXPECT_EQ(ask["rememberable"], false);
  EXPECT_THAT(ask["risk"].dump(), HasSubstr("the rule denies it"));
  EXPECT_THAT(cell.out(), Not(HasSubstr("status=0"))) << "proposing is not approving";
  Approve(ask["id"].get<std::string>());
  EXPECT_THAT(cell.Wait().out, HasSubstr("status=0\n"));
}

TEST_F(WaitingTest, TheSocketOfTheCellTakesNothingButProposalsAndQuestions) {
  // Every message of the launcher's, every route of the API's, and what is nearly allowed.
  Write(Work("client"),
        "import socket, json\n"
        "def say(text, kind=socket.SOCK_SEQPACKET):\n"
        "  s = socket.socket(socket.AF_UNIX, kind)\n"
        "  s.connect('/run/cellrun/broker.sock'); s.send(text)\n"
        "  return json.loads(s.recv(65536))['ok']\n"
        "routes = ['GET /v1/status', 'GET /v1/cells', 'POST /v1/stop', 'GET /v1/approvals',\n"
        " 'GET /v1/approvals/1', 'POST /v1/approvals/1', 'POST /v1/approvals/1/preview',\n"
        " 'GET /v1/approval-rules', 'DELETE /v1/approval-rules/1', 'GET /v1/records',\n"
        " 'GET /v1/records/1', 'GET /v1/records/1/why', 'GET /v1/audit/verify',\n"
        " 'GET /v1/audit/export']\n"
        "texts = [(r + ' HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n').encode() for r in routes]\n"
        "texts += [json.dumps({'type': t}).encode() for t in ('hello', 'run', 'documents',\n"
        " 'started', 'signal', 'resize', 'approve', 'deny', 'stop', 'tool', '', 'Propose')]\n"
        "texts += [b'{', b'[]', b'null', b'x' * 20000, b'{\"type\":\"propose\"}',\n"
        " b'{\"type\":\"propose\",\"reason\":\"x\",\"verdict\":\"allow\"}',\n"
        " b'{\"type\":\"propose\",\"reason\":\"' + b'x' * 2000 + b'\"}',\n"
        " b'{\"type\":\"why\",\"path\":\"/bin/id\"}', b'{\"type\":\"why\",\"argv\":[\"id\"]}',\n"
        " b'{\"type\":\"why\",\"record\":1}', b'{\"type\":\"why\",\"path\":\"/nowhere\",'\n"
        " b'\"argv\":[\"x\"]}', b'{\"type\":\"why\",\"path\":\"/bin/id\",\"argv\":[]}']\n"
        "taken = [t for t in texts if say(t)]\n"
        "print(len(texts), 'refused but', taken)\n"
        "print(say(b'{\"type\":\"propose\",\"reason\":\"x\"}'),\n"
        " say(b'{\"type\":\"why\",\"path\":\"/bin/id\",\"argv\":[\"id\"]}'))\n"
        "for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n"
        "  try: say(texts[0], kind); print('taken')\n"
        "  except OSError as e: print('refused')\n");
  Options options = Asking();
  options.hold_input = false;
  const Outcome outcome = Run({"python3", "client"}, options);
  EXPECT_EQ(outcome.out, "38 refused but []\nTrue True\nrefused\nrefused\n") << outcome;
}

TEST_F(WaitingTest, VerbsForPeopleSayInACellThatTheyAreNotForIt) {
  const std::string cellrun = Prefix() + "/bin/cellrun ";
  const Outcome outcome = Shell(
      "for verb in 'approve x' 'deny x' approvals 'approvals show x' ps "
      "'tool ls x' 'approvals rules'; do " +
          cellrun + "$verb; echo \"$verb=$?\"; done",
      {.profile = OpenProfile(), .flags = {"--read", Prefix()}});
  EXPECT_EQ(outcome.out,
            "approve x=1\ndeny x=1\napprovals=1\napprovals show x=1\nps=1\ntool ls x=1\n"
            "approvals rules=1\n")
      << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("this is a cell")) << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("try:   cellrun request --reason")) << outcome;
  EXPECT_THAT(outcome.err, Not(HasSubstr("no broker runs"))) << outcome;
}

TEST_F(WaitingTest, WhyInACellSaysWhatWasAndWhatWouldBeDecided) {
  Options options = {.profile = WriteProfile(
                         "cellrun: 1\nname: denies\nextends: [base]\ncommands:\n  default: allow\n"
                         "  rules:\n    - {name: no-id, reason: keep out, when: {exe: id, args: "
                         "['-u']}, then: deny}\n"
                         "    - {name: hidden-from-cells, when: {exe: who}, then: deny}\n"),
                     .flags = {"--read", Prefix()}};
  const std::string why = Prefix() + "/bin/cellrun why";
  const Outcome outcome =
      Shell(why + "; echo status=$?; id -u 2>/dev/null; " + why + "; echo status=$?; " + why +
                " -- id -u; echo status=$?; " + why + " -o json -- id -g; echo status=$?; " + why +
                " 1; echo status=$?; " + why + " -- nowhere; echo status=$?",
            options);
  EXPECT_THAT(outcome.err, HasSubstr("nothing has been denied")) << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("the journal cannot be read in a cell"));
  EXPECT_THAT(outcome.err, HasSubstr("there is no program nowhere here"));
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("id -u\n"), HasSubstr("\"no-id\""), HasSubstr("reason:   keep out\n"),
                    HasSubstr("cellrun request --reason")))
      << outcome;
  EXPECT_THAT(outcome.out, HasSubstr("\"verdict\":\"allow\"}\nstatus=0\n")) << outcome;
  EXPECT_THAT(outcome.out, Not(HasSubstr("hidden-from-cells")));
  const Outcome outside = Cellrun({"why"});
  EXPECT_EQ(outside.status, 2) << outside;
}

// More than a second of questions, and more than are answered in one.
TEST_F(WaitingTest, TheSocketOfTheCellAnswersSecondAfterSecond) {
  Options options = {.profile = OpenProfile(), .flags = {"--read", Prefix()}};
  const Outcome outcome = Shell("why='" + Prefix() +
                                    "/bin/cellrun why -- id'; end=$((SECONDS + 3)); "
                                    "while ((SECONDS < end)); do $why >/dev/null || exit 1; done; "
                                    "for i in {1..60}; do $why >/dev/null & done; "
                                    "wait; $why >/dev/null && echo answered",
                                options);
  EXPECT_EQ(outcome.out, "answered\n") << outcome;
  EXPECT_EQ(outcome.status, 0) << outcome;
}

TEST_F(WaitingTest, UnderObservationNobodyIsAsked) {
  Options options = Asking();
  options.flags = {"--observe"};
  options.hold_input = false;
  const Outcome outcome = Run({"bash", "-c", "id -u >/dev/null; echo status=$?"}, options);
  EXPECT_EQ(outcome.out, "status=0\n") << outcome;
}

// ---- What it keeps.

TEST_F(WaitingTest, BecomesTheCommandInTheSameProcess) {
  Options options = Asking("exe: cat");
  Write(Work("sub/x"), "");
  const char* kScript =
      "cd sub; trap '' USR1; exec 7<x; set -m; cat /proc/self/status & p=$!; "
      "wait $p; echo pid=$p; cat /proc/self/fdinfo/7 >/dev/null; echo fd=$?";
  Process cell = Start({"bash", "-c", kScript}, options);
  const json ask = NextAsk();
  EXPECT_THAT(ask["cwd"].get<std::string>(), EndsWith("/sub"));
  Approve(ask["id"].get<std::string>());
  Approve(NextId());
  const Outcome outcome = cell.Wait();
  const std::string pid = outcome.out.substr(outcome.out.find("pid=") + 4);
  EXPECT_THAT(outcome.out, HasSubstr("\nPid:\t" + pid.substr(0, pid.find('\n')) + "\n"));
  EXPECT_THAT(outcome.out, HasSubstr("SigIgn:\t0000000000000200\n")) << outcome;
  EXPECT_THAT(outcome.out, HasSubstr("fd=0\n"));
}

// ---- What changes while it waits.

TEST_F(WaitingTest, AChangedImageIsRefusedAndAskedAgain) {
  Options options = Asking("writable: true");
  Process cell = Start({"bash", "-c",
                        "cp /usr/bin/true tool; (./tool ran; echo status=$?) & read -r line; cp "
                        "/usr/bin/echo new; mv new tool; echo changed; wait"},
                       options);
  const json first = NextAsk();
  EXPECT_TRUE(first["writable"].get<bool>());
  cell.Write("change\n");
  ASSERT_TRUE(cell.WaitForOutput("changed"));
  Approve(first["id"].get<std::string>());
  const json second = NextAsk();
  EXPECT_NE(second["image_hash"], first["image_hash"]);
  EXPECT_THAT(cell.out(), Not(HasSubstr("ran")));
  Deny(second["id"].get<std::string>());
  const Outcome outcome = cell.Wait();
  EXPECT_THAT(outcome.out, HasSubstr("status=126")) << outcome;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("cellrun: not run: "), HasSubstr("asking again")));
}

TEST_F(WaitingTest, AnImageRewrittenInPlaceIsRefusedAndAskedAgain) {
  Process cell = Start({"bash", "-c",
                        "cp /usr/bin/true tool; (./tool; echo status=$?) & read -r line; "
                        "echo more >> tool; echo changed; wait"},
                       Asking("writable: true"));
  const json first = NextAsk();
  cell.Write("change\n");
  ASSERT_TRUE(cell.WaitForOutput("changed"));
  Approve(first["id"].get<std::string>());
  const json second = NextAsk();
  EXPECT_NE(second["image_hash"], first["image_hash"]);
  Approve(second["id"].get<std::string>());
  EXPECT_THAT(cell.Wait().out, HasSubstr("status=0"));
}

TEST_F(WaitingTest, AScriptRunsAsItWasShown) {
  Options options = Asking("script: './x.sh'");
  Write(Work("x.sh"), "#!/bin/bash\necho shown \"$@\"\n", 0755);
  Process cell = Start({"bash", "-c",
                        "(./x.sh 'a b'; echo status=$?) & read -r line; printf '#!/bin/bash\\necho "
                        "EVIL\\n' > x.sh; echo changed; wait; ls /run/cellrun/script | wc -l"},
                       options);
  const json ask = NextAsk();
  EXPECT_THAT(ask["script_copy"].get<std::string>(), StartsWith("/run/cellrun/script/"));
  EXPECT_EQ(ask["argv"], json({"./x.sh", "a b"}));
  cell.Write("change\n");
  ASSERT_TRUE(cell.WaitForOutput("changed"));
  Approve(ask["id"].get<std::string>());
  const Outcome outcome = cell.Wait();
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("shown a b\n"), HasSubstr("status=0"), Not(HasSubstr("EVIL"))))
      << outcome;
}

// Only one of two programs is ever approved, and the name means now one and now the other.
TEST_F(WaitingTest, WhatChangesAllTheTimeRunsOnlyAsApproved) {
  const char* const given = getenv("CELLRUN_RACES");  // NOLINT(concurrency-mt-unsafe)
  const std::string rounds = given != nullptr ? std::to_string(std::stoul(given) / 10) : "60";
  Write(Path("answer"),
        "import http.client, json, socket, sys\n"
        "path, good = sys.argv[1:]\n"
        "class Api(http.client.HTTPConnection):\n"
        "  def connect(self):\n"
        "    self.sock = socket.socket(socket.AF_UNIX); self.sock.connect(path)\n"
        "api = Api('cellrun'); seen = set()\n"
        "def call(method, target, body=None):\n"
        "  api.request(method, target, body); return api.getresponse().read().decode()\n"
        "while True:\n"
        "  try: asks = [json.loads(l) for l in call('GET', '/v1/approvals').splitlines()]\n"
        "  except (OSError, http.client.HTTPException): break\n"
        "  for ask in asks:\n"
        "    what = 'approve' if ask['image_hash'] == good else 'deny'\n"
        "    call('POST', '/v1/approvals/' + ask['id'],\n"
        "         json.dumps({'verdict': what, 'digest': ask['digest']}))\n");
  Write(Work("race"),
        "cp /usr/bin/true good; cp /usr/bin/false evil; cat /usr/bin/true > tool; chmod +x tool\n"
        "(while test ! -e over; do cp evil new; mv new tool; cp good new; mv new tool; cat evil > "
        "tool; cat good > tool; done 2>/dev/null) &\n"
        "for i in $(seq " +
            rounds +
            "); do ./tool $i; echo $?; done >statuses 2>messages\n"
            "touch over; wait; echo approved=$(grep -c '^0$' statuses) evil=$(grep -c '^1$' "
            "statuses) "
            "all=$(wc -l <statuses)\n");
  StartBroker();
  const Outcome hash = Bare({"sha256sum", "/usr/bin/true"});
  Command answers{.argv = {"python3", Path("answer"), RuntimeDirectory() + "/api.sock",
                           "sha256:" + hash.out.substr(0, 64)},
                  .environment = InheritedEnvironment()};
  Process approver(std::move(answers));
  Options options = Asking("exe: './tool'");
  options.hold_input = false;
  options.time_limit = 3600s;
  const Outcome outcome = Run({"bash", "race"}, options);
  approver.Signal(SIGKILL);
  EXPECT_THAT(outcome.out, HasSubstr("evil=0 all=" + rounds)) << outcome;
  // Others were refused and asked about again, or killed before their first instruction.
  EXPECT_THAT(outcome.out, Not(HasSubstr("approved=0 "))) << "some were as approved";
}

// ---- What runs elsewhere than in the process that waited.

TEST_F(WaitingTest, WhatIsApprovedRunsElsewhereWhereItsRuleSaysSo) {
  for (const std::string run : {"mirror", "ghost"}) {
    Process cell = Start({"bash", "-c",
                          "echo private > /tmp/x; echo in | cat - /tmp/x | tr n N; echo "
                          "status=${PIPESTATUS[1]}"},
                         Asking("exe: cat", ", run: " + run));
    const json ask = NextAsk();
    EXPECT_EQ(ask["strategy"], run);
    EXPECT_THAT(cell.out(), Not(HasSubstr("iN")));
    Approve(ask["id"].get<std::string>());
    const Outcome outcome = cell.Wait();
    // A ghost sees nothing of the cell's own files.
    EXPECT_EQ(outcome.out, run == "mirror" ? "iN\nprivate\nstatus=0\n" : "iN\nstatus=1\n")
        << outcome;
    Process denied =
        Start({"bash", "-c", "cat x; echo status=$?"}, Asking("exe: cat", ", run: " + run));
    EXPECT_EQ(Cellrun({"deny", NextId(), "--reason", "not now"}).status, 0);
    const Outcome refused = denied.Wait();
    EXPECT_EQ(refused.out, "status=126\n") << refused;
    EXPECT_THAT(refused.err, HasSubstr("approval: not now"));
  }
}

TEST_F(WaitingTest, AScriptRunsElsewhereAsItWasShown) {
  // By itself, and named to its interpreter.
  for (const std::string call : {"./x.sh 'a b'", "bash x.sh 'a b'"}) {
    for (const std::string run : {"mirror", "ghost"}) {
      Write(Work("x.sh"), "#!/bin/bash\necho shown \"$@\"\n", 0755);
      const std::string when =
          call.starts_with("bash") ? "exe: bash, args-any: ['x.sh']" : "script: './x.sh'";
      Process cell =
          Start({"bash", "-c",
                 "(" + call +
                     "; echo status=$?) & read -r line; printf "
                     "'#!/bin/bash\\necho EVIL\\n' > x.sh; echo changed; wait; until test $(ls "
                     "/run/cellrun/script | wc -l) = 0; do sleep 0.01; done; echo gone"},
                Asking(when, ", run: " + run));
      const json ask = NextAsk();
      EXPECT_FALSE(ask["script_hash"].get<std::string>().empty()) << call << run;
      cell.Write("change\n");
      ASSERT_TRUE(cell.WaitForOutput("changed"));
      Approve(ask["id"].get<std::string>());
      const Outcome outcome = cell.Wait();
      EXPECT_EQ(outcome.out, "changed\nshown a b\nstatus=0\ngone\n") << call << run << outcome;
    }
  }
}

TEST_F(WaitingTest, AScriptThatARuleAllowsRunsElsewhereWithItsArguments) {
  Write(Work("x.sh"), "#!/bin/bash\necho ran \"$0\" \"$@\"\n", 0755);
  for (const std::string run : {"mirror", "ghost"}) {
    const Outcome outcome = Shell(
        "./x.sh 'a b'; echo status=$?",
        {.profile =
             WriteProfile("cellrun: 1\nname: allows\nextends: [base]\ncommands:\n  default: allow\n"
                          "  rules:\n    - {when: {script: './x.sh'}, then: allow, run: " +
                          run + "}\n")});
    EXPECT_EQ(outcome.out, "ran ./x.sh a b\nstatus=0\n") << run << outcome;
  }
}

TEST_F(WaitingTest, AScriptOperandRunsAsItWasShown) {
  Options options = Asking("exe: dash, args-any: ['x.sh']");
  Write(Work("x.sh"), "echo shown $1\n");
  Process cell = Start({"bash", "-c",
                        "(dash -e x.sh one; echo status=$?) & read -r line; echo echo EVIL > x.sh; "
                        "echo changed; wait; until test $(ls /run/cellrun/script | wc -l) = 0; do "
                        "sleep 0.01; done; touch /run/cellrun/script/y || echo read-only"},
                       options);
  const json ask = NextAsk();
  EXPECT_FALSE(ask["script_hash"].get<std::string>().empty());
  cell.Write("change\n");
  ASSERT_TRUE(cell.WaitForOutput("changed"));
  Approve(ask["id"].get<std::string>());
  const Outcome outcome = cell.Wait();
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("shown one\n"), HasSubstr("status=0"),
                                 HasSubstr("read-only\n"), Not(HasSubstr("EVIL"))))
      << outcome;
}

TEST_F(WaitingTest, AMovedWorkingDirectoryIsRefusedAndAskedAgain) {
  Process cell = Start({"bash", "-c",
                        "mkdir a; cd a; (id -u; echo status=$?) & read -r line; mv ../a ../b; echo "
                        "moved; wait"},
                       Asking());
  const std::string id = NextId();
  cell.Write("move\n");
  ASSERT_TRUE(cell.WaitForOutput("moved"));
  Approve(id);
  const json again = NextAsk();
  EXPECT_THAT(again["cwd"].get<std::string>(), EndsWith("/b"));
  Approve(again["id"].get<std::string>());
  EXPECT_THAT(cell.Wait().out, HasSubstr("status=0"));
}

TEST_F(WaitingTest, TheEnvironmentThatMattersIsShown) {
  Process cell = Start(
      {"bash", "-c", "LD_PRELOAD=/x.so GIT_DIR=y HARMLESS=1 id -u; echo status=$?"}, Asking());
  const json ask = NextAsk();
  std::vector<std::string> names;
  for (const json& change : ask["env"]) names.push_back(change["name"].get<std::string>());
  EXPECT_THAT(names, ElementsAre("GIT_DIR", "LD_PRELOAD"));
  EXPECT_THAT(ask["risk"].dump(), HasSubstr("other code first"));
  Deny(ask["id"].get<std::string>());
  EXPECT_THAT(cell.Wait().out, HasSubstr("status=126"));
}

// getenv(3) takes the first value of a name, the loader and bash the last.
TEST_F(WaitingTest, AVariableThatIsSetTwiceHidesNoValue) {
  Write(Work("evil/ls"), "#!/bin/sh\necho evil\n", 0755);
  const std::string twice =
      "import os, ctypes\n"
      "argv = (ctypes.c_char_p * 4)(b'bash', b'-c', b'ls', None)\n"
      "env = (ctypes.c_char_p * 3)(b'PATH=' + os.environb[b'PATH'], b'PATH=" +
      Work("evil") +
      "', None)\n"
      "ctypes.CDLL(None).execve(b'/bin/bash', argv, env)\n";
  EXPECT_EQ(Bare({"python3", "-c", twice}).out, "evil\n") << "the attack";
  Process cell = Start({"python3", "-c", twice}, Asking("exe: bash"));
  const json ask = NextAsk();
  std::vector<std::string> paths;
  for (const json& change : ask["env"]) {
    if (change["name"] == "PATH") paths.push_back(change["after"].get<std::string>());
  }
  EXPECT_THAT(paths, ElementsAre(StartsWith("/usr/local/bin:"), Work("evil")));
  EXPECT_THAT(ask["risk"].dump(), HasSubstr("several values"));
  const Outcome remembered =
      Cellrun({"approve", ask["id"].get<std::string>(), "--scope", "project", "--yes"});
  EXPECT_EQ(remembered.status, 1) << remembered;
  Deny(ask["id"].get<std::string>());
  EXPECT_EQ(cell.Wait().status, 126);
}

TEST_F(WaitingTest, RecordsSayWhatWasAskedAndWhatRan) {
  Process cell = Start({"bash", "-c", "id -u"}, Asking());
  const std::string id = NextId();
  Approve(id);
  EXPECT_EQ(cell.Wait().status, 0);
  std::vector<std::string> results;
  for (const json& record : History({"--kind", "exec"})) {
    if (!record.value("exe", "").ends_with("/id")) continue;
    results.push_back(record["verdict"].get<std::string>() + " " +
                      record["result"].get<std::string>());
    if (record["verdict"] == "allow") {
      EXPECT_EQ(record["detail"]["ask"], id);
    }
  }
  EXPECT_THAT(results, ElementsAre("ask approved", "allow ran"));
}

// ---- On a terminal.

TEST_F(WaitingTest, AnInterruptFromTheTerminalEndsIt) {
  Options options = Asking();
  Terminal terminal(
      CellrunCommand(RunArguments({"bash", "-c", "id -u; echo status=$?"}, options), options));
  (void)NextId();
  ASSERT_TRUE(terminal.Expect("s left"));
  terminal.Send("\x03");
  AwaitNoAsk();
  EXPECT_THAT(terminal.Wait().out, Not(HasSubstr("status=0")));
}

}  // namespace
}  // namespace cellrun::test
