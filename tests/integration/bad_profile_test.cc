// SPDX-License-Identifier: Apache-2.0
// Profiles that are wrong, broken or hostile: nothing starts, the message says where and what.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class BadProfileTest : public Sandbox {
 protected:
  // Runs `true` under the profile; it must be refused with 125 and a message with each of `parts`,
  // quickly, leaving no cell.
  // `valid`: only this release refuses it, so it may be shown.
  void ExpectRefused(const std::string& yaml, const std::vector<std::string>& parts,
                     bool valid = false) {
    const std::string path = WriteProfile(yaml);
    const Outcome outcome = Run({"touch", "started"}, {.profile = path});
    EXPECT_EQ(outcome.status, 125) << outcome;
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, HasSubstr("error: "));
    EXPECT_THAT(outcome.err, HasSubstr(std::filesystem::path(path).filename().string()));
    for (const auto& part : parts) EXPECT_THAT(outcome.err, HasSubstr(part));
    EXPECT_THAT(outcome.err, Not(HasSubstr("terminate called")));
    EXPECT_LT(outcome.seconds, 10);
    EXPECT_LT(outcome.err.size(), 20000U) << "a message a person can read";
    EXPECT_FALSE(Exists(Work("started")));
    // The same text given to another verb is a usage error.
    EXPECT_EQ(Cellrun({"profile", "show", path}).status, valid ? 0 : 2);
  }
  static std::string Head() { return "cellrun: 1\nname: bad\nextends: [base]\n"; }
};

TEST_F(BadProfileTest, NamesLineColumnAndTheNearestKey) {
  ExpectRefused(Head() + "commands:\n  defualt: deny\n", {":5:3", "defualt", "default"});
  ExpectRefused(Head() + "commands:\n  rules:\n    - {when: {exce: ls}, then: allow}\n",
                {":6:", "exce", "exe"});
}

TEST_F(BadProfileTest, RefusesWhatYamlAllowsAndTheFormatDoesNot) {
  ExpectRefused(Head() + "name: again\n", {":4:", "name"});
  ExpectRefused(Head() + "commands: &a {default: deny}\n", {"anchor"});
  ExpectRefused(Head() + "commands: !!map {default: deny}\n", {"tag"});
  ExpectRefused(Head() + "commands: [deny]\n", {":4:"});
  ExpectRefused(Head() + "commands: {default: maybe}\n", {"maybe", "allow"});
  ExpectRefused(Head() + "limits: {files: -1}\n", {":4:", "-1"});
  ExpectRefused(Head() + "limits: {files: 99999999999999999999}\n", {":4:"});
  ExpectRefused("cellrun: 2\nname: bad\n", {":1:", "2"});
  ExpectRefused("name: bad\n", {"cellrun"});
  ExpectRefused(Head() + "---\nname: second\n", {});
}

TEST_F(BadProfileTest, RefusesTruncatedText) {
  const std::string whole = Head() +
                            "commands:\n  default: deny\n  rules:\n"
                            "    - {name: \"quoted\", when: {exe: [ls, cat]}, then: allow}\n";
  ExpectRefused(whole.substr(0, whole.find("cat")), {});
  ExpectRefused(whole.substr(0, whole.find("oted\"")), {});
  ExpectRefused("", {});
  ExpectRefused("\n\n# nothing\n", {});
  ExpectRefused("{", {});
}

TEST_F(BadProfileTest, EveryTruncationIsRefusedOrMeansNoMore) {
  const std::string whole = Head() +
                            "commands:\n  default: deny\n  rules:\n"
                            "    - {name: first, when: {exe: [ls, cat]}, then: allow}\n";
  for (std::size_t cut = 0; cut < whole.size(); cut += 3) {
    const std::string path = WriteProfile(whole.substr(0, cut));
    const Outcome outcome = Cellrun({"profile", "show", path});
    EXPECT_TRUE(outcome.status == 0 || outcome.status == 2) << cut << ": " << outcome;
  }
}

TEST_F(BadProfileTest, RefusesTenMegabytes) {
  std::string yaml = Head() + "description: |\n";
  while (yaml.size() < 10'000'000)
    yaml += "  a long line of nothing in particular, again and again\n";
  ExpectRefused(yaml, {});
  std::string flow = Head() + "path: [";
  while (flow.size() < 10'000'000) flow += "/usr/bin,";
  ExpectRefused(flow + "/bin]\n", {});
}

TEST_F(BadProfileTest, RefusesAHundredThousandLevels) {
  ExpectRefused(Head() + "commands: " + std::string(100'000, '[') + "\n", {});
  ExpectRefused(Head() + "commands: " + std::string(100'000, '{') + "\n", {});
  std::string closed = Head() + "commands: ";
  for (int i = 0; i < 100'000; ++i) closed += "{a: ";
  ExpectRefused(closed + std::string(100'000, '}') + "\n", {});
  std::string block = Head() + "commands:\n";
  for (std::size_t i = 1; i < 1200; ++i) block += std::string(i, ' ') + "a:\n";
  ExpectRefused(block, {});
  ExpectRefused(Head() + std::string(100'000, '-') + " x\n", {});
  std::string dashes = Head() + "path:\n";
  for (int i = 0; i < 100'000; ++i) dashes += "- ";
  ExpectRefused(dashes + "x\n", {});
}

TEST_F(BadProfileTest, RefusesWhatIsNotText) {
  ExpectRefused(Head() + "description: \"\xff\xfe\"\n", {"UTF-8"});
  ExpectRefused(Head() + "description: \xc0\xaf\n", {"UTF-8"});
  ExpectRefused(Head() + std::string("description: a\0b\n", 17), {});
  ExpectRefused("\xff\xfe" + std::string("c\0e\0", 4), {"UTF-8"});
  ExpectRefused(
      "\x7f"
      "ELF\x02\x01\x01",
      {});
}

TEST_F(BadProfileTest, ShowsHostileNamesEscaped) {
  const std::string path = WriteProfile(Head() + "\"\\e[2J\\u202eevil\": 1\n");
  const Outcome outcome = Run({"true"}, {.profile = path});
  EXPECT_EQ(outcome.status, 125) << outcome;
  EXPECT_THAT(outcome.err, AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("\xe2\x80\xae")),
                                 HasSubstr("\\u{1b}"), HasSubstr("\\u{202e}")));
}

TEST_F(BadProfileTest, RefusesExtendsThatLeadNowhereOrRound) {
  ExpectRefused("cellrun: 1\nname: bad\nextends: [no-such-profile]\n", {"no-such-profile"});
  Write(Path("config/profiles/one.yaml"), "cellrun: 1\nname: one\nextends: [two]\n");
  Write(Path("config/profiles/two.yaml"), "cellrun: 1\nname: two\nextends: [one]\n");
  const Outcome round = Run({"true"}, {.profile = "one"});
  EXPECT_EQ(round.status, 125) << round;
  EXPECT_THAT(round.err, HasSubstr("extends this profile again"));
  for (int n = 0; n < 40; ++n) {
    Write(Path("config/profiles/c" + std::to_string(n) + ".yaml"),
          "cellrun: 1\nname: c" + std::to_string(n) + "\nextends: [c" + std::to_string(n + 1) +
              "]\n");
  }
  Write(Path("config/profiles/c40.yaml"), "cellrun: 1\nname: c40\n");
  EXPECT_EQ(Run({"true"}, {.profile = "c0"}).status, 125) << "a chain longer than any sane one";
}

TEST_F(BadProfileTest, RefusesFilesThatAreNone) {
  ASSERT_EQ(mkfifo(Path("pipe.yaml").c_str(), 0600), 0);
  std::filesystem::create_directories(Path("directory.yaml"));
  for (const char* name : {"pipe.yaml", "directory.yaml", "missing.yaml"}) {
    const Outcome outcome =
        Run({"true"}, {.profile = Path(name), .time_limit = std::chrono::seconds(20)});
    EXPECT_EQ(outcome.status, 125) << name << ": " << outcome;
    EXPECT_THAT(outcome.err, HasSubstr(name));
  }
  EXPECT_EQ(Run({"true"}, {.profile = "/dev/zero", .time_limit = std::chrono::seconds(20)}).status,
            125);
}

TEST_F(BadProfileTest, SaysWhatIsNotSupportedYetInsteadOfIgnoringIt) {
  const char* features[] = {
      "filesystem: {workspace: overlay}\n",
      "filesystem: {workspace: snapshot}\n",
      "cell: {backend: docker, image: 'debian:12'}\n",
      "commands: {rules: [{when: {exe: git}, then: allow, run: ghost, ghost: {image: a}}]}\n",
  };
  for (const char* feature : features) ExpectRefused(Head() + feature, {"not supported yet"}, true);
}

TEST_F(BadProfileTest, AWorkspaceFileOnlyNarrows) {
  Write(Work(".cellrun.yaml"),
        "cellrun: 1\nname: mine\ncommands: {default: allow}\n"
        "filesystem: {read: [/root]}\n");
  const std::string closed = WriteProfile(
      "cellrun: 1\nname: closed\nextends: [base]\ncommands:\n  default: deny\n  rules:\n"
      "    - {when: {exe: [bash]}, then: allow}\n");
  const Outcome widened = Shell("id; echo $?", {.profile = closed});
  EXPECT_THAT(widened.out, Not(HasSubstr("uid="))) << widened;
  Write(Work(".cellrun.yaml"),
        "cellrun: 1\nname: mine\ncommands: {rules: [{when: {exe: id}, then: deny}]}\n");
  const Outcome narrowed = Shell("id; echo $?", {.profile = OpenProfile()});
  EXPECT_EQ(narrowed.out, "126\n") << narrowed;
}

}  // namespace
}  // namespace cellrun::test
