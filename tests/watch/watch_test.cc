// SPDX-License-Identifier: Apache-2.0
// `cellrun approvals watch` as a person meets it: keys go into a PTY, what comes out goes through a
// terminal emulator, and its screen is compared.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <regex>
#include <sstream>

#include "tests/watch/watch_fixture.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

json Ask(const std::string& id, const Words& argv = {"git", "push", "origin", "main"}) {
  std::size_t bytes = 0;
  for (const std::string& word : argv) bytes += word.size() + 1;
  return {{"id", id},
          {"cell", "quiet-otter"},
          {"cell_id", "c0ffee"},
          {"profile", "strict"},
          {"workspace", "/home/u/p"},
          {"state", "pending"},
          {"digest", "sha256:" + id + std::string(64 - id.size(), '0')},
          {"left_ms", 3'000'000},
          {"waiting", 1},
          {"pid", 4711},
          {"parent", {"/usr/bin/make", "/usr/bin/bash"}},
          {"cwd", "/home/u/p"},
          {"strategy", "in-place"},
          {"exe", "/usr/bin/git"},
          {"chain", json::array()},
          {"image_hash", "sha256:" + std::string(64, 'a')},
          {"writable", false},
          {"argv", argv},
          {"argv_bytes", bytes},
          {"original_argv", json::array()},
          {"env", {{{"name", "LD_PRELOAD"}, {"before", nullptr}, {"after", "/x.so"}}}},
          {"rule", {{"name", ""}, {"layer", "profile"}, {"file", "/p/strict.yaml"}, {"line", 26}}},
          {"reason", "publishes code"},
          {"risk", {"the first time in this project"}},
          {"said_by_cell", ""},
          {"approvers", 1},
          {"approved_by", json::array()},
          {"rememberable", true}};
}

json Changed(json ask, const char* state) {
  ask["state"] = state;
  ask["answer"] = {{"by", "uid 1000 on pts/9"}, {"reason", ""}};
  return ask;
}

// Timers move on by themselves.
std::string WithoutTimers(const std::string& text) {
  return std::regex_replace(text, std::regex("[0-9]+:[0-9][0-9]"), "MM:SS");
}

constexpr char kHash[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

TEST_F(WatchTest, FillsEightyByTwentyFour) {
  broker_->Put(Ask("7f3a91c2"));
  broker_->Put(Ask("8c", {"npm", "publish", "--tag", "é漢字"}));
  Open();
  std::string rule = "── 7f3a91c2: MM:SS left, then denied ";
  for (int i = 0; i < 43; ++i) rule += "─";
  const std::string expected =
      std::string() +
      "cellrun approvals: 2 waiting\n"
      "> MM:SS  quiet-otter  strict.yaml:26   git push origin main\n"
      "  MM:SS  quiet-otter  strict.yaml:26   npm publish --tag é漢字\n" +
      rule +
      "\n"
      "cell       quiet-otter, profile strict\n"
      "process    pid 4711 <- /usr/bin/make <- /usr/bin/bash\n"
      "directory  /home/u/p\n"
      "runs       git push origin main\n"
      "           4 arguments, 21 bytes\n"
      "program    /usr/bin/git, run in-place\n"
      "sha256     " +
      kHash +
      "\n"
      "           the cell could not have written it\n"
      "! variable LD_PRELOAD: (not set) -> /x.so\n"
      "rule       strict.yaml:26\n"
      "reason     publishes code\n"
      "! risk     the first time in this project\n"
      "\n\n\n\n\n\n\n"
      "y once s cell p project n deny N remember r reason e edit v view q leave\n";
  EXPECT_TRUE(Until([&] { return WithoutTimers(screen_->Text()) == expected; })) << expected;
  EXPECT_TRUE(screen_->on_second_screen());
}

TEST_F(WatchTest, IsAsciiInTheCLocale) {
  broker_->Put(Ask("8c", {"npm", "é漢\u202e"}));
  Open(24, 80, {{"LC_ALL", "C"}});
  ASSERT_TRUE(Shows("publishes code"));
  EXPECT_TRUE(Shows("npm \"\\u{e9}\\u{6f22}\\u{202e}\"")) << screen_->Text();
  EXPECT_TRUE(Shows("\n-- 8c: "));
  for (const char c : terminal_->screen()) ASSERT_LT(static_cast<unsigned char>(c), 0x80);
}

TEST_F(WatchTest, ApprovesOnceWhatWasOnTheScreen) {
  OpenWith(Ask("7f3a91c2"));
  ASSERT_TRUE(PressUntilReceived("y"));
  const auto received = broker_->received();
  ASSERT_THAT(received, SizeIs(1));
  EXPECT_EQ(received[0].id, "7f3a91c2");
  EXPECT_FALSE(received[0].preview);
  EXPECT_EQ(received[0].body["verdict"], "approve");
  EXPECT_EQ(received[0].body["digest"], Ask("7f3a91c2")["digest"]);
  EXPECT_FALSE(received[0].body.contains("argv"));
  broker_->Put(Changed(Ask("7f3a91c2"), "approved"));
  EXPECT_TRUE(Shows("nothing waits"));
}

TEST_F(WatchTest, EnterDoesNothing) {
  OpenWith(Ask("7f3a"));
  // A key that counts, after the Enters: they counted, too.
  Clock::time_point end = Clock::now() + std::chrono::milliseconds(800);
  ASSERT_TRUE(PressUntil("\r", [&] { return Clock::now() > end; }));
  ASSERT_TRUE(PressUntilShows("v", "v list"));
  terminal_->Send("\r\n");
  ASSERT_TRUE(PressUntilReceived("n"));
  EXPECT_EQ(broker_->received()[0].body["verdict"], "deny");
  EXPECT_THAT(broker_->received(), SizeIs(1));
}

TEST_F(WatchTest, DropsKeysForHalfASecondAfterTheListMoved) {
  OpenWith(Ask("a1"));
  ASSERT_TRUE(PressUntilShows("v", "v list"));
  ASSERT_TRUE(PressUntilShows("v", "v view"));
  broker_->Put(Ask("b2", {"rm", "-rf", "/home/u/p"}));
  ASSERT_TRUE(Shows("rm -rf"));
  const Clock::time_point moved = Clock::now();
  terminal_->Send("y");
  ASSERT_TRUE(Shows("key ignored"));
  EXPECT_THAT(broker_->received(), IsEmpty());
  ASSERT_TRUE(PressUntilReceived("y"));
  // The screen was seen here a little after it moved.
  EXPECT_GE(Clock::now() - moved, std::chrono::milliseconds(400));
  EXPECT_EQ(broker_->received()[0].id, "a1");
}

TEST_F(WatchTest, ForgetsWhatWasTypedBeforeItCame) {
  broker_->Put(Ask("a1"));
  // The keys lie in the terminal before the view reads it.
  Command command = CellrunCommand({"approvals", "watch"});
  std::string words;
  for (const std::string& word : command.argv) words += " '" + word + "'";
  command.argv = {"sh", "-c", "echo ready; read line; exec" + words};
  OpenCommand(std::move(command));
  ASSERT_TRUE(terminal_->Expect("ready"));
  terminal_->Send("go\nyyyynnnyy");
  ASSERT_TRUE(Shows("publishes code"));
  ASSERT_TRUE(PressUntilShows("v", "v list"));
  EXPECT_THAT(broker_->received(), IsEmpty());
}

TEST_F(WatchTest, SavesARuleOnlyAfterItWasShown) {
  broker_->Answer([](const FakeBroker::Received& received) -> FakeBroker::Reply {
    if (!received.preview) return {};
    return {200,
            {{"rule", "- when: {exe: /usr/bin/git, args: [push, origin, main]}\n  then: allow\n"},
             {"file", "/home/u/.config/cellrun/approved.yaml"},
             {"expires", "2026-12-21T00:00:00Z"},
             {"matches", {{{"seq", 12}, {"argv", {"git", "push", "-f"}}}}},
             {"matches_total", 3}}};
  });
  OpenWith(Ask("a1"));
  ASSERT_TRUE(PressUntilReceived("p"));
  ASSERT_TRUE(Shows("- when: {exe: /usr/bin/git, args: [push, origin, main]}"));
  EXPECT_TRUE(Shows("  then: allow"));
  EXPECT_TRUE(Shows("2026-12-21T00:00:00Z"));
  EXPECT_TRUE(Shows("also 3 commands"));
  EXPECT_TRUE(Shows("git push -f"));
  EXPECT_EQ(broker_->received()[0].body["scope"], "project");
  ASSERT_TRUE(PressUntilReceived("y", 2));
  const auto received = broker_->received();
  EXPECT_FALSE(received[1].preview);
  EXPECT_EQ(received[1].body["scope"], "project");
  EXPECT_EQ(received[1].body["digest"], Ask("a1")["digest"]);
}

TEST_F(WatchTest, DeniesWithAReasonAndEditsArguments) {
  OpenWith(Ask("a1"));
  ASSERT_TRUE(PressUntilShows("e", "run: git push origin main"));
  terminal_->Send("\x15git push origin main --dry-run\r");
  ASSERT_TRUE(Shows("would run  git push origin main --dry-run"));
  ASSERT_TRUE(PressUntilReceived("y"));
  EXPECT_EQ(broker_->received()[0].body["argv"],
            (json{"git", "push", "origin", "main", "--dry-run"}));
  broker_->Put(Changed(Ask("a1"), "approved"));
  broker_->Put(Ask("b2"));
  ASSERT_TRUE(Shows("b2: "));
  ASSERT_TRUE(PressUntilShows("r", "reason: "));
  terminal_->Send("\x15é: not on a Friday\r");
  ASSERT_TRUE(Until([&] { return broker_->received().size() == 2; }));
  EXPECT_EQ(broker_->received()[1].body["reason"], "é: not on a Friday");
  EXPECT_EQ(broker_->received()[1].body["verdict"], "deny");
}

TEST_F(WatchTest, ShowsAnAskThatChangedAnew) {
  broker_->Answer([](const FakeBroker::Received&) -> FakeBroker::Reply {
    return {409, {{"error", {{"what", "the ask has changed"}, {"cause", "nothing ran"}}}}};
  });
  const json before = Ask("a1");
  json after = Ask("a1", {"git", "push", "--force"});
  after["digest"] = "sha256:" + std::string(64, 'f');
  broker_->Put(before, before);
  Open();
  ASSERT_TRUE(Shows("4 arguments"));
  // The list's form stays as it was: only the answer finds out.
  broker_->Put(before, after);
  ASSERT_TRUE(PressUntilReceived("y"));
  ASSERT_TRUE(Shows("NOT ANSWERED: the ask has changed: nothing ran"));
  ASSERT_TRUE(Shows("runs       git push --force"));
  broker_->Answer(nullptr);
  ASSERT_TRUE(PressUntilReceived("y", 2));
  EXPECT_EQ(broker_->received()[1].body["digest"], after["digest"]);
}

TEST_F(WatchTest, HostileArgumentsStayText) {
  const std::vector<std::string> attacks = {
      "\033[2J\033[H\033]0;owned\007\033[31m",
      "\033[?1049l\033c",
      "line\nrisk       none\r\n",
      "\u202egnp.exe\u2066\u200b\u200f",
      "\U0001f600e\u0301",
      "\x9b"
      "2J\x90q\x9c",
      "\033P+q544e\033\\\033_x\033\\",
      "\xff\xfe\xed\xa0\x80",
      std::string(300, '\b'),
      "漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢"};
  Words argv = {"sh", "-c"};
  for (const std::string& attack : attacks) argv.push_back(attack);
  json ask = Ask("a1");
  // As the broker writes what is not UTF-8.
  argv[7] = "\\x{9b}2J\\x{90}q\\x{9c}";
  argv[9] = "\\x{ff}\\x{fe}\\x{ed}\\x{a0}\\x{80}";
  ask["argv"] = argv;
  ask["escaped"] = {"argv[7]", "argv[9]"};
  ask["cwd"] = "/w\033]0;x\007";
  ask["said_by_cell"] = "rule       ok.yaml:1\nrisk       none \033[8m";
  ask["reason"] = "\033[5mreason";
  broker_->Put(ask);
  Open(60, 80);
  ASSERT_TRUE(Shows("own words"));
  EXPECT_TRUE(screen_->on_second_screen());
  EXPECT_EQ(screen_->title(), "");
  EXPECT_TRUE(Shows("\\u{1b}[2J\\u{1b}[H\\u{1b}]0;owned\\u{7}"));
  EXPECT_TRUE(Shows("\\x{9b}2J\\x{90}q\\x{9c}"));
  EXPECT_TRUE(Shows("\\u{202e}gnp.exe\\u{2066}"));
  ASSERT_TRUE(Shows("! risk"));
  // No row of the cell begins where a label stands, and each of ours is there once.
  int risks = 0;
  for (const std::string& row : screen_->Rows()) risks += row.starts_with("! risk") ? 1 : 0;
  EXPECT_EQ(risks, 1) << screen_->Text();
  EXPECT_THAT(screen_->Rows(), Not(testing::Contains(testing::StartsWith("rule       ok"))));
  for (const char* bytes :
       {"owned\007", "\033]0", "\u202e", "\u200b", "\033P", "\033c", "\033[8m"}) {
    EXPECT_THAT(terminal_->screen(), Not(HasSubstr(bytes)));
  }
  EXPECT_TRUE(Shows("y once s cell")) << "the last row is ours";
}

TEST_F(WatchTest, TwoMegabytesHaveToBeSeenBeforeTheyRun) {
  json whole = Ask("a1", {"sh", "-c", std::string(2 << 20, 'x') + "END"});
  json listed = whole;
  listed["argv"] = {"sh", "-c", std::string(4090, 'x')};
  listed["argv_cut"] = true;
  broker_->Put(listed, whole);
  Open();
  ASSERT_TRUE(Shows("more rows"));
  ASSERT_TRUE(PressUntilShows("y", "does not fit"));
  ASSERT_TRUE(PressUntilShows("v", "v list"));
  terminal_->Send("G");
  ASSERT_TRUE(Shows("END"));
  ASSERT_TRUE(PressUntilShows("y", "rows were not on the screen"));
  EXPECT_THAT(broker_->received(), IsEmpty());
  ASSERT_TRUE(PressUntilReceived("y"));
  EXPECT_EQ(broker_->received()[0].body["digest"], whole["digest"]);
}

TEST_F(WatchTest, FollowsTheWindow) {
  OpenWith(Ask("a1"));
  const auto resize = [this](std::uint16_t rows, std::uint16_t columns) {
    screen_->Resize(rows, columns);
    terminal_->Resize(rows, columns);
  };
  resize(10, 40);
  ASSERT_TRUE(Shows("too small: 40x10, needs 50x14"));
  ASSERT_TRUE(ShowsNot("git push"));
  resize(14, 50);
  ASSERT_TRUE(Shows("y s p approve"));
  resize(40, 132);
  ASSERT_TRUE(Shows("y once s cell"));
  EXPECT_EQ(screen_->Rows()[39].substr(0, 6), "y once") << screen_->Text();
  resize(2, 9);
  ASSERT_TRUE(Shows("too"));
  resize(24, 80);
  ASSERT_TRUE(Shows("y once s cell"));
  ASSERT_TRUE(PressUntilReceived("n"));
}

TEST_F(WatchTest, WaitsForABrokerThatIsGoneWithoutSpinning) {
  OpenWith(Ask("a1"));
  broker_->Stop();
  ASSERT_TRUE(Shows("NO BROKER"));
  ASSERT_TRUE(ShowsNot("git push"));
  ASSERT_TRUE(Shows("it does not run"));
  // The longest wait between two tries: several were made.
  ASSERT_TRUE(Shows("trying again in 0:04"));
  const std::string stat = Read("/proc/" + std::to_string(terminal_->pid()) + "/stat");
  std::istringstream fields(stat.substr(stat.rfind(')') + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  long user = 0;
  long system = 0;
  fields >> user >> system;
  EXPECT_LT(user + system, sysconf(_SC_CLK_TCK)) << "CPU time in ticks";
  broker_->Start();
  ASSERT_TRUE(Shows("git push"));
  ASSERT_TRUE(ShowsNot("NO BROKER"));
  ASSERT_TRUE(PressUntilReceived("y"));
}

TEST_F(WatchTest, OpensBeforeThereIsABroker) {
  broker_->Stop();
  Open();
  ASSERT_TRUE(Shows("NO BROKER (it does not run)"));
  broker_->Put(Ask("a1"));
  broker_->Start();
  ASSERT_TRUE(Shows("git push"));
}

TEST_F(WatchTest, StopsAndGoesOnWithTheShell) {
  broker_->Put(Ask("a1"));
  Command shell = CellrunCommand({"approvals", "watch"});
  std::string words;
  for (const std::string& word : shell.argv) words += " '" + word + "'";
  Write(Work("rc"), "PS1='<$((40+2))> '\nbind 'set enable-bracketed-paste off' 2>/dev/null\nw() {" +
                        words + "; }\n");
  shell.argv = {"bash", "--rcfile", Work("rc"), "-i"};
  OpenCommand(std::move(shell));
  ASSERT_TRUE(Shows("<42>"));
  terminal_->Send(words + "\n");
  ASSERT_TRUE(Shows("publishes code"));
  terminal_->Send("\x1a");
  ASSERT_TRUE(Shows("Stopped"));
  EXPECT_FALSE(screen_->on_second_screen());
  EXPECT_TRUE(screen_->cursor_visible());
  terminal_->Send("echo in-between=$((1+1))\n");
  ASSERT_TRUE(Shows("in-between=2"));
  terminal_->Send("fg\ny");  // typed ahead: not an answer
  ASSERT_TRUE(Shows("publishes code"));
  EXPECT_TRUE(screen_->on_second_screen());
  ASSERT_TRUE(PressUntilShows("v", "v list"));
  EXPECT_THAT(broker_->received(), IsEmpty());
  ASSERT_TRUE(PressUntil("q", [&] { return !screen_->on_second_screen(); }));
  terminal_->Send("\necho status=$?\nexit\n");
  terminal_->Wait();
  ExpectGivenBack();
}

TEST_F(WatchTest, GivesTheTerminalBackHoweverItEnds) {
  broker_->Put(Ask("a1"));
  const auto end = [this](const char* how, int status, const std::function<void()>& act) {
    Open();
    ASSERT_TRUE(Shows("publishes code")) << how;
    act();
    const Outcome outcome = terminal_->Wait();
    EXPECT_EQ(outcome.status, status) << how;
    ExpectGivenBack();
  };
  end("q", 0, [this] { PressUntil("q", [&] { return !screen_->on_second_screen(); }); });
  end("Ctrl-C", 130, [this] { terminal_->Send("\x03"); });
  end("Ctrl-backslash", 131, [this] { terminal_->Send("\x1c"); });
  for (const int number : {SIGTERM, SIGHUP, SIGSEGV, SIGABRT}) {
    end(strsignal(number), 128 + number, [&] { kill(terminal_->pid(), number); });
  }
}

TEST_F(WatchTest, EndsWithItsWindow) {
  OpenWith(Ask("a1"));
  terminal_->HangUp();
  EXPECT_EQ(terminal_->Wait().status, 129);
}

TEST_F(WatchTest, RefusesATerminalThatCannotDoIt) {
  for (const char* name : {"dumb", "", "no-such-terminal"}) {
    Open(24, 80, {{"TERM", name}});
    const Outcome outcome = terminal_->Wait();
    EXPECT_EQ(outcome.status, 1) << name;
    EXPECT_THAT(outcome.out, HasSubstr("cellrun approvals list"));
    EXPECT_THAT(outcome.out, Not(HasSubstr("\033")));
  }
  const Outcome piped = Cellrun({"approvals", "watch"});
  EXPECT_EQ(piped.status, 1);
  EXPECT_THAT(piped.err, AllOf(HasSubstr("not a terminal"), HasSubstr("cellrun approvals list")));
}

TEST_F(WatchTest, BringsDescriptionsOfTerminalsWithIt) {
  ASSERT_FALSE(Exists("/usr/share/terminfo/x/xterm-kitty")) << "nothing would be tested";
  ASSERT_FALSE(Exists("/lib/terminfo/x/xterm-kitty")) << "nothing would be tested";
  broker_->Put(Ask("a1"));
  for (const char* name :
       {"xterm-kitty", "xterm-256color", "screen", "tmux-256color", "linux", "vt100"}) {
    Open(24, 80, {{"TERM", name}});
    ASSERT_TRUE(Shows("publishes code")) << name;
    ASSERT_TRUE(PressUntilShows("v", "v list")) << name;
    terminal_.reset();
  }
}

TEST_F(WatchTest, SaysInWordsWhatColorSays) {
  json ask = Ask("a1");
  ask["writable"] = true;
  broker_->Put(ask);
  const std::regex color("\033\\[[0-9;]*3[0-7]");
  Open(24, 80, {{"TERM", "xterm-256color"}});
  ASSERT_TRUE(Shows("THE CELL COULD HAVE WRITTEN IT"));
  EXPECT_TRUE(std::regex_search(terminal_->screen(), color)) << "with colour";
  Open(24, 80, {{"TERM", "xterm-256color"}, {"NO_COLOR", "1"}});
  ASSERT_TRUE(Shows("THE CELL COULD HAVE WRITTEN IT"));
  EXPECT_FALSE(std::regex_search(terminal_->screen(), color)) << "without";
}

TEST_F(WatchTest, PastedTextIsNoAnswer) {
  OpenWith(Ask("a1"));
  ASSERT_TRUE(PressUntilShows("v", "v list"));
  terminal_->Send("\033[200~y\nn\033[201~");
  ASSERT_TRUE(PressUntilShows("v", "v view"));
  EXPECT_THAT(broker_->received(), IsEmpty());
}

TEST_F(WatchTest, AThousandAsksAreQuickToGoThrough) {
  for (int i = 0; i < 1000; ++i) broker_->Put(Ask("a" + std::to_string(i)));
  Open();
  ASSERT_TRUE(
      Until([&] { return screen_->Shows("1000 waiting") && !screen_->Shows("not listed yet"); }));
  ASSERT_TRUE(PressUntilShows("v", "v list"));
  ASSERT_TRUE(PressUntilShows("v", "v view"));
  const auto started = Clock::now();
  terminal_->Send(std::string(500, 'j'));
  ASSERT_TRUE(Shows("a500: "));
  terminal_->Send("G");
  ASSERT_TRUE(Shows("a999: "));
  EXPECT_LT(Clock::now() - started, std::chrono::seconds(5)) << "10 ms a key, whole";
}

TEST_F(WatchedCellTest, WhatIsApprovedRunsAndWhatIsDeniedSaysWhy) {
  StartBroker();
  Process approved = Start({"bash", "-c", "id -u -n; echo status=$?"}, {.profile = profile_});
  Open();
  ASSERT_TRUE(Shows("tells who it is"));
  EXPECT_TRUE(Shows("id -u -n"));
  ASSERT_TRUE(PressUntil("y", [&] { return screen_->Shows("nothing waits"); }));
  const Outcome ran = approved.Wait();
  EXPECT_THAT(ran.out, HasSubstr("status=0")) << ran;
  Process denied = Start({"bash", "-c", "id -g; echo status=$?"}, {.profile = profile_});
  ASSERT_TRUE(Shows("id -g"));
  ASSERT_TRUE(PressUntilShows("r", "reason: "));
  terminal_->Send("\x15look at /etc/passwd\r");
  const Outcome refused = denied.Wait();
  EXPECT_THAT(refused.out, HasSubstr("status=126")) << refused;
  EXPECT_THAT(refused.out + refused.err, HasSubstr("look at /etc/passwd")) << refused;
}

TEST_F(WatchedCellTest, ARuleForTheCellIsShownAndThenHolds) {
  StartBroker();
  Process twice =
      Start({"bash", "-c", "id -u -n; id -u -n; echo status=$?"}, {.profile = profile_});
  Open();
  ASSERT_TRUE(Shows("tells who it is"));
  ASSERT_TRUE(PressUntilShows("s", "ALLOW, for this cell"));
  ASSERT_TRUE(Shows("then: allow"));
  ASSERT_TRUE(PressUntil("y", [&] { return screen_->Shows("nothing waits"); }));
  const Outcome ran = twice.Wait();
  EXPECT_THAT(ran.out, HasSubstr("status=0")) << ran;
  const Outcome asks = Cellrun({"approvals", "list", "--state", "all", "-o", "name"});
  EXPECT_EQ(std::count(asks.out.begin(), asks.out.end(), '\n'), 1) << asks;
}

}  // namespace
}  // namespace cellrun::test
