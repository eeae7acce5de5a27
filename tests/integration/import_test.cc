// SPDX-License-Identifier: Apache-2.0
// `cellrun profile import` with the verbs that its output is for.
#include <gmock/gmock.h>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ImportTest : public Sandbox {
 protected:
  std::string Policy(std::string_view yaml) { return Write(Path("policy.yaml"), yaml); }
};

TEST_F(ImportTest, ImportsAPolicyThatPassesLintAndDecides) {
  const std::string policy = Policy(
      "default_action: deny\nallowed_paths: [\"" + Work() +
      "/*\"]\nrules:\n  - {command: rm, action: deny, args: [\"-rf /\"], reason: destructive}\n"
      "  - {command: rm, action: allow}\n  - {command: touch, action: allow}\n"
      "  - {command: bash, action: allow}\n");
  const Outcome imported = Cellrun({"profile", "import", "clawrden", policy});
  ASSERT_EQ(imported.status, 0) << imported;
  EXPECT_EQ(imported.err, "");
  const std::string profile = Write(Path("imported.yaml"), imported.out);
  const Outcome lint = Cellrun({"profile", "lint", profile});
  EXPECT_THAT(lint.out, testing::Not(HasSubstr(": error: "))) << lint;
  const Outcome run = Run({"bash", "-c", "touch made && rm made && echo gone; rm -rf /nowhere; ls"},
                          {.profile = profile});
  EXPECT_THAT(run.out, HasSubstr("gone")) << run;
  EXPECT_THAT(run.err, AllOf(HasSubstr("denied: rm -rf /nowhere"), HasSubstr("denied: ls"))) << run;
}

TEST_F(ImportTest, ImportsFirewallRulesAndSaysWhatTheyLose) {
  const std::string rules = Policy(
      "security:\n  firewall:\n    add_domains: [example.com]\n    rules:\n"
      "      - {dst: api.example.com, path_rules: [{path: /v1, action: allow}]}\n");
  const Outcome imported = Cellrun({"profile", "import", "clawker", rules});
  ASSERT_EQ(imported.status, 0) << imported;
  EXPECT_THAT(imported.err, HasSubstr("api.example.com (line 5) is denied"));
  EXPECT_THAT(imported.out, AllOf(HasSubstr("needs TLS inspection: allow /v1; else deny"),
                                  HasSubstr("- {to: example.com, ports: [443], then: allow}")));
  const Outcome wrong =
      Cellrun({"profile", "import", "clawker", Policy("rules: [{dst: a.org, action: alow}]\n")});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_THAT(wrong.err, HasSubstr("unknown action 'alow'"));
}

TEST_F(ImportTest, NamesTheLineOfWhatIsWrong) {
  const std::string policy = Policy("default_action: deny\nrulez: []\n");
  const Outcome unknown = Cellrun({"profile", "import", "clawrden", policy});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_EQ(unknown.out, "");
  EXPECT_THAT(unknown.err, HasSubstr("policy.yaml:2:1: unknown key 'rulez'"));
  EXPECT_EQ(Cellrun({"profile", "import", "clawrden", Path("absent")}).status, 2);
  const Outcome kind = Cellrun({"profile", "import", "docker", policy});
  EXPECT_EQ(kind.status, 2);
  EXPECT_THAT(kind.err, HasSubstr("clawrden"));
}

}  // namespace
}  // namespace cellrun::test
