// SPDX-License-Identifier: Apache-2.0
// Real coding agents do real work in cells; the model is scripted, all else is as for a user.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "tests/agents/agent_run.h"
#include "tests/emulator/emulator.h"
#include "tests/support/remains.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr char kClassic[] = "gpt-5.5";
constexpr char kCodeMode[] = "gpt-6-sol";
constexpr AgentSetup kCodex{"codex_strict", "codex", kClassic, "codex", "agents/codex"};
constexpr AgentSetup kOpencode{"opencode_strict", "opencode", "", "opencode.exe",
                               "agents/opencode"};

std::string NameOf(const testing::TestParamInfo<AgentSetup>& setup) {
  return setup.param.name;
}

class AgentSlowTest : public AgentRun, public testing::WithParamInterface<AgentSetup> {
 protected:
  static bool IsCodex() { return std::string_view(GetParam().agent) == "codex"; }
  static bool IsCodeMode() { return std::string_view(GetParam().model) == kCodeMode; }
  // codex tells the model the exit status, opencode does not.
  void ExpectStatus(int step, int status) const {
    if (!IsCodex()) return;
    EXPECT_EQ(Result(step).value("exit", -1), status) << Told(step);
  }
  // Waits until what ends with `argument` is asked, and answers it.
  void Answer(const std::string& argument, Words words) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < deadline) {
      const Outcome list = Cellrun({"approvals", "list", "-o", "json"});
      if (list.status != 0) continue;  // no broker yet
      for (const json& ask : json::parse(list.out)) {
        if (ask["argv"].back() != argument) continue;
        words.insert(words.begin() + 1, ask["id"].get<std::string>());
        const Outcome answered = Cellrun(words);
        EXPECT_EQ(answered.status, 0) << answered;
        return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << argument << " was not asked";
  }
};
INSTANTIATE_TEST_SUITE_P(
    Each, AgentSlowTest,
    testing::Values(kCodex, AgentSetup{"codex_standard", "codex", kClassic, "codex", "standard"},
                    AgentSetup{"code_mode_strict", "codex", kCodeMode, "codex", "agents/codex"},
                    AgentSetup{"code_mode_standard", "codex", kCodeMode, "codex", "standard"},
                    kOpencode,
                    AgentSetup{"opencode_standard", "opencode", "", "opencode.exe", "standard"}),
    NameOf);

TEST_P(AgentSlowTest, DoesTheExampleWithoutADenial) {
  Script(json::parse(R"json([
    {"shell": "git status --short --branch"},
    {"shell": "cc -Wall -o hello hello.c && ./hello"},
    {"write": {"path": "notes/a.txt", "content": "first line\nsecond line\n"}},
    {"shell": "echo to-stderr >&2; cat missing-file; exit 7"}
  ])json"));
  const Outcome outcome = RunAgent(GetParam());
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_TRUE(SaidTheLastWord()) << outcome;
  EXPECT_THAT(Told(0), HasSubstr("## No commits yet on main"));
  EXPECT_THAT(Told(1), HasSubstr("hello"));
  EXPECT_EQ(Read(Work("notes/a.txt")), "first line\nsecond line\n");
  EXPECT_THAT(Told(3), HasSubstr("to-stderr"));
  EXPECT_THAT(Told(3), HasSubstr("missing-file: No such file or directory"));
  ExpectStatus(3, 7);
  for (const json& denied : History({"--verdict", "deny", "--verdict", "ask"})) {
    ADD_FAILURE() << "denied: " << denied;
  }
}

TEST_P(AgentSlowTest, BuildsTestsAndFixesAProject) {
  json steps = json::parse(R"json([
    {"write": {"path": "Makefile", "content": "check: test\n\t./test\ntest: sum.c test.c\n\t$(CC) -o $@ sum.c test.c\n"}},
    {"write": {"path": "sum.c", "content": "int sum(int a, int b) {\n  return a - b;\n}\n"}},
    {"write": {"path": "test.c", "content": "#include <stdio.h>\nint sum(int, int);\nint main(void) {\n  int got = sum(2, 3);\n  printf(\"sum is %d\\n\", got);\n  return got != 5;\n}\n"}},
    {"shell": "make check"},
    {"all": [{"shell": "cat sum.c"}, {"shell": "grep -n return sum.c"}, {"shell": "wc -l sum.c test.c"}]},
    {"edit": {"path": "sum.c", "old": "  return a - b;", "new": "  return a + b;"}},
    {"shell": "make check"},
    {"shell": "git add Makefile '*.c' && git -c user.name=A -c user.email=a@example.org commit -qm first && git log --format=subject:%s"},
    {"read": "sum.c"},
    {},
    {},
    {"shell": "seq -f %06.0f 450000; echo end-of-output"},
    {},
    {"write": {"path": "docs/deep/notes.md", "content": "sum adds\n"}},
    {"edit": {"path": "test.c", "old": "  return got != 5;", "new": "  return got != 5 || sum(-1, 1) != 0;"}},
    {"shell": "make -j2 check"},
    {"shell": "find . -name '*.c' | xargs wc -l | sort -n | tail -1"},
    {"shell": "python3 -c 'import subprocess; print(subprocess.check_output([\"./test\"], text=True))' && node -p '6*7'"},
    {"shell": "git diff --stat && git status --short"},
    {"shell": "sleep 1000 >/dev/null 2>&1 & echo left-running"}
  ])json");
  // codex gives the command a terminal itself; opencode has none to give.
  constexpr char kAtTerminal[] = "test -t 0 && test -t 1 && tty && stty size && echo pty-$((1+1))";
  steps[10] = IsCodex() ? json{{"shell", kAtTerminal}, {"tty", true}}
                        : json{{"shell",
                                "python3 -c 'import pty, sys; sys.exit(pty.spawn([\"sh\", \"-c\", "
                                "\"" +
                                    std::string(kAtTerminal) + "\"]))'"}};
  // That of opencode needs an rg in PATH.
  steps[9] = IsCodex() ? json{{"search", "int sum"}} : json{{"shell", "grep -rn 'int sum' ."}};
  // Each waits for the other two; in code mode codex runs one after the other.
  for (int own = 1; own <= 3; ++own) {
    const std::string mark = "touch mark-" + std::to_string(own) + "; ";
    const std::string meet =
        IsCodeMode() ? "" : "until test -e mark-1 -a -e mark-2 -a -e mark-3; do sleep 0.02; done; ";
    steps[12]["all"].push_back({{"shell", mark + meet + "echo met-" + std::to_string(own)}});
  }
  Script(steps);
  const Outcome outcome = RunAgent(GetParam());
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_TRUE(SaidTheLastWord()) << outcome;
  EXPECT_THAT(Told(3), HasSubstr("sum is -1"));
  ExpectStatus(3, 2);
  EXPECT_THAT(Told(4, 0), HasSubstr("return a - b;"));
  EXPECT_THAT(Told(4, 1), HasSubstr("2:  return"));
  EXPECT_THAT(Told(4, 2), HasSubstr("total"));
  EXPECT_THAT(Told(6), HasSubstr("sum is 5"));
  ExpectStatus(6, 0);
  EXPECT_THAT(Told(7), HasSubstr("subject:first"));
  EXPECT_THAT(Told(8), HasSubstr("return a + b;"));
  EXPECT_THAT(Told(9), HasSubstr("int sum"));
  EXPECT_THAT(Told(10), HasSubstr("/dev/pts/"));
  EXPECT_THAT(Told(10), HasSubstr("pty-2"));
  EXPECT_THAT(Told(11), HasSubstr("end-of-output"));
  for (int index = 0; index < 3; ++index) {
    EXPECT_THAT(Told(12, index), HasSubstr("met-" + std::to_string(index + 1)));
  }
  EXPECT_EQ(Read(Work("docs/deep/notes.md")), "sum adds\n");
  EXPECT_THAT(Told(15), HasSubstr("sum is 5"));
  EXPECT_THAT(Told(16), HasSubstr("total"));
  EXPECT_THAT(Told(17), HasSubstr("42"));
  EXPECT_THAT(Told(18), HasSubstr("test.c"));
  EXPECT_THAT(Told(19), HasSubstr("left-running"));
  EXPECT_THAT(Bare({"git", "log", "--format=%s"}).out, HasSubstr("first"));
  EXPECT_THAT(DescendantsRunning("sleep"), IsEmpty()) << "what the agent left running";
}

TEST_P(AgentSlowTest, TellsTheModelWhyAStepWasDenied) {
  ASSERT_EQ(Bare({"bash", "-c",
                  "git init -q --bare remote.git && git add hello.c && "
                  "git -c user.name=A -c user.email=a@example.org commit -qm first"})
                .status,
            0);
  Script(json::parse(R"json([
    {"shell": "git push ./remote.git main"},
    {"shell": "mount -t tmpfs none /mnt"},
    {"shell": "echo still-$((40+2))"}
  ])json"));
  AgentSetup nobody_to_ask = GetParam();
  const std::string profile =
      WriteProfile("cellrun: 1\nname: nobody\nextends: [" + std::string(nobody_to_ask.profile) +
                   "]\napprovals: {timeout: 0s}\n");
  nobody_to_ask.profile = profile.c_str();
  const Outcome outcome = RunAgent(nobody_to_ask);
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_TRUE(SaidTheLastWord()) << outcome;
  EXPECT_THAT(Told(0), HasSubstr("cellrun: denied: git push ./remote.git main"));
  EXPECT_THAT(Told(0), HasSubstr("no approver is connected"));
  ExpectStatus(0, 126);
  EXPECT_THAT(Told(1), HasSubstr("cellrun: denied: mount -t tmpfs none /mnt"));
  EXPECT_THAT(Told(1), HasSubstr("a cell cannot mount, or make namespaces"));
  EXPECT_THAT(Told(1), HasSubstr("instead: "));
  ExpectStatus(1, 126);
  EXPECT_THAT(Told(2), HasSubstr("still-42"));
  EXPECT_THAT(Bare({"git", "-C", "remote.git", "branch"}).out, IsEmpty());
  EXPECT_EQ(Bare({"git", "push", "-q", "./remote.git", "main"}).status, 0);
  EXPECT_THAT(Bare({"git", "-C", "remote.git", "branch"}).out, HasSubstr("main"));
}

TEST_P(AgentSlowTest, WaitsForAPersonInTheMiddleOfItsTask) {
  ASSERT_EQ(Bare({"bash", "-c",
                  "git init -q --bare remote.git && git add hello.c && "
                  "git -c user.name=A -c user.email=a@example.org commit -qm first"})
                .status,
            0);
  Script(json::parse(R"json([
    {"shell": "git push ./remote.git main:approved"},
    {"shell": "git push ./remote.git main:denied"},
    {"shell": "git push ./remote.git main:late"},
    {"shell": "echo still-$((40+2))"}
  ])json"));
  AgentSetup asking = GetParam();
  const std::string profile = WriteProfile(
      "cellrun: 1\nname: asking\nextends: [" + std::string(asking.profile) +
      "]\ncommands:\n  rules:\n"
      "    - {when: {exe: git, args: [push, '**', 'main:late']}, then: ask, timeout: 2s}\n"
      "    - {when: {exe: git, args: [push, '**']}, then: ask, timeout: 60s}\n");
  asking.profile = profile.c_str();
  Process process = Start(Driver(asking), InCell(asking));
  // A second process, on another terminal.
  Answer("main:approved", {"approve"});
  Answer("main:denied", {"deny", "--reason", "only on Mondays"});
  const Outcome outcome = process.Wait();
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_TRUE(SaidTheLastWord()) << outcome;
  ExpectStatus(0, 0);
  EXPECT_THAT(Told(0), HasSubstr("main -> approved"));
  EXPECT_THAT(Told(1), HasSubstr("approval: only on Mondays"));
  ExpectStatus(1, 126);
  EXPECT_THAT(Told(2), HasSubstr("nobody answered within 2 s"));
  ExpectStatus(2, 126);
  EXPECT_THAT(Told(3), HasSubstr("still-42"));
  EXPECT_EQ(Bare({"git", "-C", "remote.git", "branch"}).out, "  approved\n");
}

TEST_P(AgentSlowTest, GoesOnAfterAStepThatFloods) {
  Script(json::parse(R"json([
    {"shell": "{ yes flood | head -c 50000000; yes errors | head -c 10000000 >&2; echo; } 2>&1; echo after-the-flood"},
    {"shell": "for i in $(seq 300); do /bin/true; done; echo after-300-programs"}
  ])json"));
  const Outcome outcome = RunAgent(GetParam());
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_TRUE(SaidTheLastWord()) << outcome;
  EXPECT_THAT(Told(0), HasSubstr("after-the-flood"));
  EXPECT_THAT(Told(1), HasSubstr("after-300-programs"));
}

// The agents leave their commands running when they are ended; the test is over only when nothing
// of the cell is left (Sandbox).
constexpr char kInTheMiddle[] = R"json([
  {"shell": "sleep 1001 >/dev/null 2>&1 & echo"},
  {"shell": "touch started; sleep 1002; echo over"}
])json";

TEST_P(AgentSlowTest, LeavesNothingWhenCellrunIsTerminated) {
  Script(json::parse(kInTheMiddle));
  Process process = Start(Driver(GetParam()), InCell(GetParam()));
  ASSERT_TRUE(Appears(Work("started")));
  process.Signal(SIGTERM);
  const Outcome outcome = process.Wait();
  EXPECT_NE(outcome.status, 0) << outcome;
  EXPECT_FALSE(outcome.timed_out) << outcome;
  EXPECT_FALSE(SaidTheLastWord());
}

TEST_P(AgentSlowTest, LeavesNothingWhenTheAgentIsTerminated) {
  Script(json::parse(kInTheMiddle));
  Process process = Start(Driver(GetParam()), InCell(GetParam()));
  ASSERT_TRUE(Appears(Work("started")));
  const std::vector<pid_t> agents = DescendantsRunning(GetParam().program);
  ASSERT_THAT(agents, Not(IsEmpty()));
  for (const pid_t pid : agents) EXPECT_EQ(kill(pid, SIGTERM), 0);
  const Outcome outcome = process.Wait();
  EXPECT_FALSE(outcome.timed_out) << outcome;
  EXPECT_FALSE(SaidTheLastWord());
}

TEST_P(AgentSlowTest, LeavesNothingWhenTheTerminalIsClosed) {
  Script(json::parse(kInTheMiddle));
  const Options options = InCell(GetParam());
  Terminal terminal(CellrunCommand(RunArguments(Driver(GetParam()), options), options));
  ASSERT_TRUE(Appears(Work("started")));
  terminal.HangUp();
  const Outcome outcome = terminal.Wait();
  EXPECT_FALSE(outcome.timed_out) << outcome;
  EXPECT_FALSE(SaidTheLastWord());
}

class BareAgentSlowTest : public AgentRun, public testing::WithParamInterface<AgentSetup> {};
INSTANTIATE_TEST_SUITE_P(Each, BareAgentSlowTest, testing::Values(kCodex, kOpencode), NameOf);

TEST_P(BareAgentSlowTest, LeavesItsCommandRunningWithoutACell) {
  Script(json::parse(kInTheMiddle));
  Command command = CellrunCommand({}, InCell(GetParam()));
  command.argv = Driver(GetParam(), {"env"});  // with a prefix the driver cleans nothing up
  Process process(command);
  ASSERT_TRUE(Appears(Work("started")));
  while (DescendantsRunning("sleep").empty()) usleep(2000);
  for (const pid_t pid : DescendantsRunning(GetParam().program)) kill(pid, SIGTERM);
  process.Wait();
  const std::vector<pid_t> left = DescendantsRunning("sleep");
  EXPECT_THAT(left, Not(IsEmpty()));
  for (const pid_t pid : left) kill(pid, SIGKILL);
}

class ModelOutsideAgentSlowTest : public AgentRun,
                                  public testing::WithParamInterface<AgentSetup> {};
INSTANTIATE_TEST_SUITE_P(Each, ModelOutsideAgentSlowTest, testing::Values(kCodex, kOpencode),
                         NameOf);

// As people have it: only the agent is in the cell. 127.0.0.1 is the cell's own, so the agent's
// settings name `host`.
TEST_P(ModelOutsideAgentSlowTest, IsReachedThroughARuleOnHost) {
  Script(json::parse(R"json([{"shell": "cc -o hello hello.c && ./hello"}])json"));
  const std::string profile =
      WriteProfile("cellrun: 1\nname: outside\nextends: [" + std::string(GetParam().profile) +
                   "]\nnetwork:\n  rules:\n    - {name: its-model, to: host, then: allow}\n");
  const std::string prefix =
      Write(Path("prefix"),
            "set -eu\n"
            "sed -i 's#http://127.0.0.1:#http://host:#' $(grep -rlF http://127.0.0.1: \"$HOME\" "
            "--include=*.toml --include=*.json)\n"
            "exec " +
                Prefix() + "/bin/cellrun run --profile " + profile + " --read " + packages() +
                " -- \"$@\"\n");
  StartBroker();
  Command command = CellrunCommand({}, InCell(GetParam()));
  command.argv = Driver(GetParam(), {"bash", prefix});
  command.environment["AGENT_HOME"] = Home();
  command.environment["AGENT_PASS"] = "XDG_STATE_HOME XDG_CONFIG_HOME";
  const Outcome outcome = Process(command).Wait();
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_TRUE(SaidTheLastWord()) << outcome;
  EXPECT_THAT(Told(0), HasSubstr("hello"));
  const std::vector<json> records = History({"--kind", "connect"});
  EXPECT_TRUE(std::any_of(records.begin(), records.end(), [](const json& record) {
    return record.value("name", "") == "host" && record["rule"]["name"] == "its-model" &&
           record.value("result", "") == "connected";
  })) << json(records);
  for (const json& record : records)
    EXPECT_TRUE(record.value("name", "") == "host" || record.value("verdict", "") != "allow")
        << record;
}

class ScreenAgentSlowTest : public AgentRun, public testing::WithParamInterface<AgentSetup> {};
INSTANTIATE_TEST_SUITE_P(Each, ScreenAgentSlowTest, testing::Values(kCodex, kOpencode), NameOf);

// As most people use them. Both start further programs for it, without a question.
TEST_P(ScreenAgentSlowTest, IsDrawnOnATerminal) {
  constexpr int kRows = 30, kColumns = 100;
  const bool codex = std::string_view(GetParam().agent) == "codex";
  Words agent = {packages() + "/node_modules/.bin/" + GetParam().agent};
  if (codex) agent.insert(agent.end(), {"--sandbox", "danger-full-access"});
  const Options options{.profile = GetParam().profile, .flags = {"--read", packages()}};
  Terminal terminal(CellrunCommand(RunArguments(agent, options), options), kRows, kColumns);
  Emulator screen(kRows, kColumns);
  EXPECT_TRUE(terminal.WaitUntil([&](const std::string& shown) {
    screen.Follow(shown);
    if (const std::string answers = screen.Answers(); !answers.empty()) terminal.Send(answers);
    return screen.Shows(codex ? "Welcome to Codex" : "ctrl+p commands");
  })) << screen.Text();
  EXPECT_THAT(screen.Text(), Not(HasSubstr("waiting for approval")));
  terminal.HangUp();
  EXPECT_FALSE(terminal.Wait().timed_out);
  for (const json& record : History({"--kind", "ask"})) {
    if (!record.contains("argv")) continue;              // for a connection
    EXPECT_EQ(record["exe"], "/usr/bin/git") << record;  // codex: for a catalogue of plugins
  }
}

class CodexTest : public AgentRun {};

TEST_F(CodexTest, TellsTheModelThatItsOwnSandboxIsOneTooMany) {
  Script(json::parse(R"json([{"shell": "echo ran-$((40+2))"}])json"));
  for (const char* profile : {"agents/codex", "standard"}) {
    Options options = InCell(kCodex);
    options.profile = profile;
    options.flags.insert(options.flags.end(), {"--env", "CODEX_SANDBOX=workspace-write"});
    const Outcome outcome = RunAgent(kCodex, options);
    EXPECT_EQ(outcome.status, 0) << outcome;
    EXPECT_THAT(Told(0), Not(HasSubstr("ran-42"))) << profile;
    EXPECT_THAT(Told(0), HasSubstr("cellrun: denied: ")) << profile;
    EXPECT_THAT(Told(0), HasSubstr("sandbox already")) << profile;
  }
}

TEST_F(CodexTest, ReadsItsSettingsAndChangesNothingOutside) {
  Write(Home(".codex/config.toml"), "model = \"x\"\n");
  const Outcome outcome = Shell(
      "cat ~/.codex/config.toml; echo evil >> ~/.codex/config.toml; rm -f ~/.codex/config.toml; "
      "mv ~/.codex ~/away; echo kept > ~/.codex/state && cat ~/.codex/state; ls -A ~",
      {.profile = "agents/codex"});
  EXPECT_EQ(outcome.out, "model = \"x\"\nkept\n.codex\n") << outcome;
  EXPECT_EQ(Read(Home(".codex/config.toml")), "model = \"x\"\n");
  EXPECT_FALSE(Exists(Home(".codex/state")));
}

class OpencodeTest : public AgentRun {};

// It keeps a name for the project in .git/opencode.
TEST_F(OpencodeTest, WorksWhereAllOfGitIsProtected) {
  Script(json::parse(R"json([
    {"shell": "git log --format=%s; touch .git/x"},
    {"write": {"path": "new.txt", "content": "new\n"}}
  ])json"));
  Options options = InCell(kOpencode);
  options.profile = WriteProfile(
      "cellrun: 1\nname: p\nextends: [agents/opencode]\nfilesystem: {protect: [.git]}\n");
  const Outcome outcome = RunAgent(kOpencode, options);
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_TRUE(SaidTheLastWord()) << outcome;
  EXPECT_THAT(Told(0), HasSubstr("Read-only file system"));
  EXPECT_EQ(Read(Work("new.txt")), "new\n");
  EXPECT_FALSE(Exists(Work(".git/opencode")));
}

}  // namespace
}  // namespace cellrun::test
