// SPDX-License-Identifier: Apache-2.0
// The full-screen view over a real ssh: a server with keys of its own, which serves one connection
// on a pipe and ends with it.
#include <gmock/gmock.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "tests/support/remains.h"
#include "tests/support/ssh_server.h"
#include "tests/watch/watch_fixture.h"

namespace cellrun::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class SshTest : public WatchedCellTest {
 protected:
  void SetUp() override {
    WatchedCellTest::SetUp();
    const std::string program = Prefix() + "/../tests/sshd";
    REQUIRE_OR_SKIP(Exists(program), "no sshd (./dev setup)");
    SshServer::Shape shape{.program = program, .directory = Path("ssh"), .as_root = IsRootLane()};
    for (const auto& [name, value] : CellrunCommand({}).environment) {
      if (name.starts_with("CELLRUN_") && name.ends_with("_DIR")) shape.environment[name] = value;
    }
    server_.emplace(std::move(shape));
  }
  // What a person types at home; `remote` is given to the shell on this side.
  [[nodiscard]] Command Ssh(const std::string& remote, const Environment& environment) const {
    Command command;
    command.argv = {"ssh", "-tt", "-F", "none", "-i", server_->identity()};
    for (const std::string& option :
         {std::string("IdentitiesOnly=yes"), std::string("UserKnownHostsFile=/dev/null"),
          std::string("GlobalKnownHostsFile=/dev/null"), std::string("StrictHostKeyChecking=no"),
          std::string("LogLevel=ERROR"), std::string("SendEnv=LANG LC_*"),
          "ProxyCommand=" + server_->serve()}) {
      command.argv.insert(command.argv.end(), {"-o", option});
    }
    command.argv.push_back(SshServer::User() + "@cell.test");
    command.argv.push_back(remote);
    command.environment = {{"PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"},
                           {"HOME", Home()}};
    command.environment.insert(environment.begin(), environment.end());
    return command;
  }
  void Log(const std::string& terminal, const std::string& locale, std::uint16_t rows,
           std::uint16_t columns) {
    OpenCommand(Ssh(Prefix() + "/bin/cellrun approvals watch; echo status=$?",
                    {{"TERM", terminal}, {"LC_ALL", locale}}),
                rows, columns);
  }
  Process Asking() {
    return Start({"bash", "-c", "id -u -n h\u00e9 2>/dev/null; echo status=$?"},
                 {.profile = profile_});
  }

  std::optional<SshServer> server_;
};

TEST_F(SshTest, AnswersWithTheTerminalsAndLocalesThatPeopleHave) {
  StartBroker();
  const struct {
    const char *terminal, *locale, *shown;
  } variants[] = {{"xterm-256color", "C.UTF-8", "h\u00e9"},
                  {"screen", "C.UTF-8", "h\u00e9"},
                  {"linux", "C", "\\u{e9}"},
                  {"vt100", "POSIX", "\\u{e9}"},
                  {"tmux-256color", "no_SUCH.locale", "\\u{e9}"}};
  for (const auto& variant : variants) {
    SCOPED_TRACE(std::string(variant.terminal) + " " + variant.locale);
    Process cell = Asking();
    Log(variant.terminal, variant.locale, 24, 80);
    ASSERT_TRUE(Shows(variant.shown)) << server_->errors();
    ASSERT_TRUE(Shows("tells who it is"));
    ASSERT_TRUE(PressUntil("n", [&] { return screen_->Shows("nothing waits"); }));
    EXPECT_EQ(cell.Wait().out, "status=126\n");
    ASSERT_TRUE(PressUntilShows("q", "status=0"));
    EXPECT_FALSE(screen_->on_second_screen());
    EXPECT_TRUE(screen_->cursor_visible());
    terminal_.reset();
  }
}

TEST_F(SshTest, FollowsTheWindowAndApprovesWhatIsOnIt) {
  StartBroker();
  Process cell = Asking();
  Log("xterm", "C.UTF-8", 24, 80);
  ASSERT_TRUE(Shows("tells who it is")) << server_->errors();
  screen_->Resize(10, 40);
  terminal_->Resize(10, 40);
  ASSERT_TRUE(Shows("too small: 40x10, needs 50x14"));
  screen_->Resize(40, 132);
  terminal_->Resize(40, 132);
  ASSERT_TRUE(Shows("tells who it is"));
  ASSERT_TRUE(Shows("y once s cell"));
  ASSERT_TRUE(PressUntil("y", [&] { return screen_->Shows("nothing waits"); }));
  EXPECT_THAT(cell.Wait().out, Not(HasSubstr("126")));
}

// A connection that is cut takes the view with it, and nothing is answered by that.
TEST_F(SshTest, ACutConnectionAnswersNothing) {
  StartBroker();
  Process cell = Asking();
  Log("xterm", "C.UTF-8", 24, 80);
  ASSERT_TRUE(Shows("tells who it is")) << server_->errors();
  terminal_->HangUp();
  EXPECT_TRUE(Sandbox::Until([] {
    const std::vector<pid_t> all = Descendants();
    return std::none_of(all.begin(), all.end(), [](pid_t pid) {
      return Describe(pid).find("approvals watch") != std::string::npos;
    });
  }));
  const Outcome waiting = Cellrun({"approvals", "list", "-o", "name"});
  ASSERT_THAT(waiting.out, Not(testing::IsEmpty()));
  const std::string id = waiting.out.substr(0, waiting.out.find('\n'));
  EXPECT_EQ(Cellrun({"deny", id}).status, 0);
  EXPECT_EQ(cell.Wait().out, "status=126\n");
}

}  // namespace
}  // namespace cellrun::test
