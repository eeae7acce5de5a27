// SPDX-License-Identifier: Apache-2.0
// A browser in a cell reaches by name what a rule lets out, and goes on where a page wants more.
// The cell is its sandbox; with `userns` it has its own as well.
#include <gmock/gmock.h>

#include <memory>
#include <string>

#include "tests/support/name_server.h"
#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr char kSite[] = "site.example.com";
constexpr char kBrowser[] = "chromium-headless-shell";

class EgressBrowserTest : public Sandbox {
 protected:
  void SetUp() override {
    Sandbox::SetUp();
    site_ = std::make_unique<Process>(
        Command{.argv = {"python3", Data("pages.py")}, .environment = InheritedEnvironment()});
    ASSERT_TRUE(site_->WaitForOutput("\n")) << site_->err();
    port_ = site_->out().substr(std::string("port ").size());
    port_.erase(port_.find('\n'));
    url_ = "http://" + std::string(kSite) + ":" + port_ + "/";
  }
  void TearDown() override {
    site_.reset();
    Sandbox::TearDown();
  }
  // The site alone is let out, of a profile that says what runs.
  Options Letting(const std::string& commands) {
    const std::string ports = ", ports: [" + port_ + "], then: allow}\n";
    return {.profile = WriteProfile(
                "cellrun: 1\nname: browser\nfilesystem: {read: [/var/cache/fontconfig]}\n"
                "network:\n  dns: {upstream: \"" +
                names_.address() + "\"}\n  rules:\n    - {to: " + kSite + ports +
                "    - {to: 127.0.0.1" + ports + commands),
            .time_limit = std::chrono::seconds(100)};
  }
  // As docs/agents.md has it.
  Options LettingUnderStrict() {
    return Letting(
        "extends: [strict]\ncommands:\n  rules:\n    - name: browser\n"
        "      when: {exe: [chromium, chromium-headless-shell, \"/usr/lib/chromium/*\"]}\n"
        "      then: allow\n");
  }
  Outcome Drive(const std::string& way) {
    return Run({"node", "drive.js", way, url_, kBrowser, "--no-sandbox"}, LettingUnderStrict());
  }

  NameServer names_{{{kSite, {"127.0.0.1"}}}};
  std::unique_ptr<Process> site_;
  std::string port_, url_;
};

constexpr char kRead[] = "<p id=\"said\">data</p>", kRefused[] = "<body class=\"refused\">";
constexpr char kEverything[] = "data true echo TypeError\nPNG\n";

TEST_F(EgressBrowserTest, ReadsAPageThatWantsMoreThanIsLetOut) {
  const Outcome outcome = Shell(
      std::string(kBrowser) + " --no-sandbox --dump-dom " + url_ + "; cat \"$CELLRUN_DENIALS\"",
      LettingUnderStrict());
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr(kRead), HasSubstr(kRefused))) << outcome;
  EXPECT_THAT(outcome.out, HasSubstr("\"evil.example.com\"")) << outcome;
  EXPECT_THAT(names_.asked(), ElementsAre(kSite));
}

TEST_F(EgressBrowserTest, IsDrivenOverAPipe) {
  Write(Work("drive.js"), Read(Data("drive.js")));
  const Outcome outcome = Drive("pipe");
  EXPECT_EQ(outcome.out, kEverything) << outcome;
  EXPECT_EQ(outcome.status, 0) << outcome;
}

TEST_F(EgressBrowserTest, IsDrivenOverAPortOfTheCellsLoopback) {
  Write(Work("drive.js"), Read(Data("drive.js")));
  const Outcome outcome = Drive("port");
  EXPECT_EQ(outcome.out, kEverything) << outcome;
  EXPECT_EQ(outcome.status, 0) << outcome;
}

// Its own sandbox needs namespaces, which no cell has that does not say so: it says what to do.
TEST_F(EgressBrowserTest, WithoutTheOptionItWantsASandbox) {
  const Words browser = {kBrowser, "--dump-dom", url_};
  const Outcome without = Run(browser, LettingUnderStrict());
  EXPECT_THAT(without.err, AllOf(HasSubstr("No usable sandbox"), HasSubstr("--no-sandbox")))
      << without;
  EXPECT_NE(without.status, 0);
  const Outcome with = Run(browser, Letting("commands: {default: allow}\n"
                                            "syscalls: {rules: [{name: userns, then: allow}]}\n"));
  EXPECT_THAT(with.out, AllOf(HasSubstr(kRead), HasSubstr(kRefused))) << with;
  EXPECT_EQ(with.status, 0) << with;
}

}  // namespace
}  // namespace cellrun::test
