// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/smallest_change.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/policy/yaml_text.h"

namespace cellrun::policy {
namespace {

using testing::HasSubstr;
using testing::Not;

const Places kPlaces{.home = "/home/u", .workspace = "/home/u/project"};

std::optional<FileFacts> Look(const std::string& path) {
  if (path == "/usr/bin/git") return FileFacts{{8, 1}, path};
  if (path == "/usr/bin/bash") return FileFacts{{8, 2}, path};
  return std::nullopt;
}

class SmallestChangeTest : public testing::Test {
 protected:
  SmallestChangeTest() {
    profile_.documents = {{"mine.yaml", 1, 1}};
    profile_.path.push_back({.value = "/usr/bin", .at = {}, .layer = Layer::kProfile});
    profile_.command_default.value = Action::kDeny;
  }
  static ExecImage Image(const std::string& path) {
    ExecImage image;
    image.path = path;
    image.id = Look(path) ? Look(path)->id : FileId{9, 9};
    return image;
  }
  static ExecRequest Request(const std::string& path, std::vector<std::string> argv) {
    ExecRequest request;
    request.raw_path = path;
    request.images = {Image(path)};
    request.argv = std::move(argv);
    request.cwd = kPlaces.workspace;
    return request;
  }
  CommandRule& Add(When when, Action then, Layer layer = Layer::kProfile) {
    CommandRule rule;
    rule.when = std::move(when);
    rule.then = then;
    rule.layer = layer;
    rule.at = {"mine.yaml", 7, 3};
    profile_.command_rules.push_back(rule);
    return profile_.command_rules.back();
  }
  std::string Change(const ExecRequest& request) {
    const auto policy = Policy::Compile(profile_, kPlaces, Look);
    EXPECT_TRUE(policy.ok());
    return SmallestChange(*policy.value(), request, kPlaces, Look);
  }
  Profile profile_;
};

TEST_F(SmallestChangeTest, NamesTheProgramAsThePersonWouldAndItsArgumentsExactly) {
  EXPECT_EQ(Change(Request("/usr/bin/git", {"git", "push", "origin"})),
            "# first under `commands: rules:` of mine.yaml\n"
            "- when: {exe: git, args: [push, origin]}\n  then: allow\n");
}

TEST_F(SmallestChangeTest, OneRuleForEachLinkThatStandsInTheWay) {
  ExecRequest request = Request("/home/u/project/run.sh", {"./run.sh"});
  request.images[0].kind = ExecImage::Kind::kScript;
  request.images.push_back(Image("/usr/bin/bash"));
  const std::string change = Change(request);
  EXPECT_THAT(change, HasSubstr("- when: {script: ./run.sh, args: []}\n"));
  EXPECT_THAT(change, HasSubstr("- when: {exe: bash, args: []}\n"));
}

TEST_F(SmallestChangeTest, AnAllowedCommandGetsARuleThatDenies) {
  Add({.exe = {"git"}}, Action::kAllow);
  EXPECT_THAT(Change(Request("/usr/bin/git", {"git", "push"})), HasSubstr("then: deny"));
}

TEST_F(SmallestChangeTest, AnonymousImagesAreNamedAsSuch) {
  ExecRequest request = Request("/memfd:x (deleted)", {"x"});
  request.images[0].anonymous = true;
  EXPECT_THAT(Change(request),
              HasSubstr("{exe: \"/memfd:x (deleted)\", anonymous: true, args: []}"));
}

TEST_F(SmallestChangeTest, SaysWhoDecidesWhereTheProfileCannot) {
  Add({.exe = {"git"}}, Action::kDeny, Layer::kFloor);
  EXPECT_EQ(Change(Request("/usr/bin/git", {"git"})),
            "No profile can: the floor decides (mine.yaml:7:3).");
  profile_.command_rules[0].layer = Layer::kWorkspace;
  EXPECT_THAT(Change(Request("/usr/bin/git", {"git"})), HasSubstr("change or remove the rule"));
}

TEST_F(SmallestChangeTest, NothingThatTheCellChoseCanActOnAReader) {
  const std::string change =
      Change(Request("/usr/bin/git", {"git", "\x1b[2J", "a\nthen: allow", "\xff", "*", "re:x"}));
  EXPECT_THAT(change, Not(HasSubstr("\x1b")));
  EXPECT_THAT(change, HasSubstr(R"(["\x1b\\[2J", "a\x0athen: allow", "?", "\\*", "\\re:x"])"));
}

TEST_F(SmallestChangeTest, LongCommandsAreLeftOpenAtTheEnd) {
  std::vector<std::string> argv(30, "x");
  EXPECT_THAT(Change(Request("/usr/bin/git", argv)), HasSubstr("args: [x, \"**\"]"));
}

TEST(YamlScalarTest, QuotesWhatWouldReadAsSomethingElse) {
  for (const char* plain : {"push", "origin/main", "./x", "/usr/bin/git", "a-b_c.d+e", "x"}) {
    EXPECT_EQ(YamlScalar(plain), plain);
  }
  for (const char* quoted :
       {"",     "true", "No", "null", "~",  "1", "1e3", "-x",  ".5", "y",  "N", "a b",
        "a: b", "#x",   "*x", "&x",   "!x", "{", "[",   "a,b", "%",  "@x", "`"}) {
    EXPECT_EQ(YamlScalar(quoted), "\"" + std::string(quoted) + "\"");
  }
  EXPECT_EQ(YamlScalar("\xe2\x80\xae"
                       "x"),
            "\"\\u202ex\"");
  EXPECT_EQ(YamlScalar("\xf0\x9f\x98\x80"), "\"\\U0001f600\"");
}

}  // namespace
}  // namespace cellrun::policy
