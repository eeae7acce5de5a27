// SPDX-License-Identifier: Apache-2.0
// git over ssh: a real sshd outside, which a cell reaches by a name that a rule lets out.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "tests/support/name_server.h"
#include "tests/support/sandbox.h"
#include "tests/support/server.h"
#include "tests/support/ssh_server.h"

namespace cellrun::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr char kServer[] = "git.example.com";

class EgressSshTest : public Sandbox {
 protected:
  void SetUp() override {
    Sandbox::SetUp();
    const std::string program = Prefix() + "/../tests/sshd";
    REQUIRE_OR_SKIP(Exists(program), "no sshd (./dev setup)");
    server_.emplace(
        SshServer::Shape{.program = program, .directory = Path("ssh"), .as_root = IsRootLane()});
    port_.emplace([this](int fd) {
      RunCommand({.argv = {server_->serve()},
                  .environment = InheritedEnvironment(),
                  .stdin_fd = fd,
                  .stdout_fd = fd});
    });
    Write(Work(".ssh/person"), Read(server_->identity()), 0600);
    Write(Work(".ssh/known"), "[" + std::string(kServer) + "]:" + port_->port_text() + " " +
                                  server_->host_key() + "\n");
    Write(Path("work/answer"), "42\n");
    const std::string git = "git -c user.name=A -c user.email=a@example.com -C " + Path("work");
    const Outcome made = Bare({"sh", "-c",
                               git + " init -q -b main && " + git + " add . && " + git +
                                   " commit -q -m first && git clone -q --bare " + Path("work") +
                                   " " + Path("dep.git")});
    ASSERT_EQ(made.status, 0) << made;
  }
  void TearDown() override {
    port_.reset();
    Sandbox::TearDown();
  }
  Options Letting(const std::string& name) {
    return {
        .profile = WriteProfile(
            "cellrun: 1\nname: clients\ncommands: {default: allow}\nnetwork:\n"
            "  dns: {upstream: \"" +
            names_.address() + "\"}\n  rules:\n    - {to: " + name + ", ports: [" +
            port_->port_text() + "], then: allow}\n    - {to: 127.0.0.1, ports: [" +
            port_->port_text() +
            "], then: allow}\nenvironment:\n  set: {GIT_SSH_COMMAND: \"ssh -F none -i " +
            Work(".ssh/person") + " -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o " +
            "GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile=" + Work(".ssh/known") + "\"}\n"),
        .time_limit = std::chrono::seconds(100)};
  }
  std::string Url() {
    return "ssh://" + SshServer::User() + "@" + kServer + ":" + port_->port_text() +
           Path("dep.git");
  }

  NameServer names_{{{kServer, {"127.0.0.1"}}}};
  std::optional<SshServer> server_;
  std::optional<Server> port_;
};

TEST_F(EgressSshTest, ClonesAndPushesByName) {
  const Outcome outcome =
      Shell("git clone -q " + Url() +
                " copy && cat copy/answer && cd copy && echo 43 >answer && git -c user.name=B -c "
                "user.email=b@example.com commit -q -a -m second && git push -q && git fetch && "
                "git rev-parse HEAD && cat \"$CELLRUN_DENIALS\"",
            Letting(kServer));
  EXPECT_EQ(outcome.status, 0) << outcome << server_->errors();
  EXPECT_THAT(outcome.out, StartsWith("42\n"));
  const Outcome there = Bare({"git", "-C", Path("dep.git"), "rev-parse", "main"});
  EXPECT_EQ(outcome.out, "42\n" + there.out) << outcome;
  EXPECT_THAT(names_.asked(), ElementsAre(kServer));
  // How libc orders addresses is recorded all the same.
  int ordered = 0;
  for (const nlohmann::json& record : History({"--kind", "connect"})) {
    if (record.value("proto", "") == "udp") {
      EXPECT_EQ(record.value("verdict", ""), "deny");
      EXPECT_THAT(record.value("reason", ""), HasSubstr("orders addresses"));
      ++ordered;
    }
  }
  EXPECT_GT(ordered, 0);
}

TEST_F(EgressSshTest, IsRefusedWhereNoRuleNamesTheServer) {
  const Outcome outcome =
      Shell("git clone -q " + Url() + " copy; cat \"$CELLRUN_DENIALS\"", Letting("other.example"));
  EXPECT_THAT(outcome.err, HasSubstr("Could not resolve hostname " + std::string(kServer)))
      << outcome;
  EXPECT_THAT(outcome.out, HasSubstr(kServer)) << outcome;
  EXPECT_FALSE(Exists(Work("copy")));
  EXPECT_EQ(port_->accepted(), 0);
  EXPECT_THAT(names_.asked(), IsEmpty());
  // A port beside those that are allowed.
  const Outcome port = Shell(
      "ssh -o BatchMode=yes -p 22 " + std::string(kServer) + " true; cat \"$CELLRUN_DENIALS\"",
      Letting(kServer));
  EXPECT_THAT(port.err, HasSubstr("port 22: Permission denied")) << port;
  EXPECT_THAT(port.out, HasSubstr("`- {to: git.example.com, ports: [22], then: allow}` would"))
      << port;
  EXPECT_THAT(port.out, HasSubstr("\"name\":\"git.example.com\",\"proto\":\"tcp\",\"port\":22"))
      << port;
}

}  // namespace
}  // namespace cellrun::test
