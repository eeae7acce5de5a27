// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "lib/policy/lint.h"
#include "lib/policy/load.h"
#include "lib/policy/network_policy.h"
#include "lib/policy/policy.h"
#include "lib/policy/profile_test.h"

namespace cellrun::policy {
namespace {

const Places kPlaces{.home = "/home/somebody", .workspace = "/home/somebody/project"};

std::string ReadText(const std::filesystem::path& path, std::size_t most_bytes) {
  std::ifstream file(path, std::ios::binary);
  std::string text(most_bytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(most_bytes));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

// The document and what it extends, depth first, each once.
void Collect(const std::string& name, std::vector<Source>& sources, std::set<std::string>& seen) {
  if (!seen.insert(name).second) return;
  const std::filesystem::path path =
      std::filesystem::path(CELLRUN_PROFILE_DIRECTORY) / (name + ".yaml");
  Source source{.name = name,
                .origin = name + ".yaml",
                .text = ReadText(path, kMaxProfileBytes),
                .layer = sources.empty() ? Layer::kProfile : Layer::kInherited};
  ASSERT_FALSE(source.text.empty()) << path;
  sources.push_back(source);
  const auto extends = ReadExtends(source);
  if (!extends.ok()) {
    ADD_FAILURE() << extends.problems().front().ToString();
    return;
  }
  for (const std::string& base : extends.value()) Collect(base, sources, seen);
}

Profile Load(const std::string& name) {
  std::vector<Source> sources;
  std::set<std::string> seen;
  Collect(name, sources, seen);
  const auto profile = LoadProfile(sources, kPlaces);
  if (profile.ok()) return profile.value();
  for (const Problem& problem : profile.problems()) ADD_FAILURE() << problem.ToString();
  return {};
}

// A machine that has nothing installed.
std::optional<ProgramFacts> NoMachine(const std::string&) {
  return std::nullopt;
}

std::optional<ProgramFacts> ThisMachine(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  std::error_code error;
  ProgramFacts facts;
  facts.file.id = {info.st_dev, info.st_ino};
  facts.file.canonical = std::filesystem::canonical(path, error).string();
  if (S_ISREG(info.st_mode)) facts.head = ReadText(path, 256);
  return facts;
}

class ShippedProfileTest : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Each, ShippedProfileTest,
                         testing::Values("base", "strict", "standard", "observe", "ci",
                                         "agents/codex", "agents/opencode"),
                         [](const auto& each) {
                           const std::string_view name = each.param;
                           return std::string(name.substr(name.find('/') + 1));
                         });

TEST_P(ShippedProfileTest, UsesNothingThatIsNotSupportedYet) {
  for (const Problem& problem : UnsupportedFeatures(Load(GetParam()))) {
    ADD_FAILURE() << problem.ToString();
  }
}

TEST_P(ShippedProfileTest, HasAtLeastTwentyTestsOfItsOwn) {
  const Profile profile = Load(GetParam());
  const auto own = std::count_if(profile.tests.begin(), profile.tests.end(), [](const auto& test) {
    return test.at.file == std::string(GetParam()) + ".yaml";
  });
  EXPECT_GE(own, 20);
}

TEST_P(ShippedProfileTest, PassesItsTestsWhereNothingIsInstalled) {
  const auto outcomes = RunProfileTests(Load(GetParam()), kPlaces, NoMachine);
  ASSERT_TRUE(outcomes.ok()) << outcomes.problems().front().ToString();
  for (const TestOutcome& outcome : outcomes.value()) {
    EXPECT_TRUE(outcome.passed) << outcome.ToString();
  }
}

TEST_P(ShippedProfileTest, PassesItsTestsOnThisMachine) {
  const auto outcomes = RunProfileTests(Load(GetParam()), kPlaces, ThisMachine);
  ASSERT_TRUE(outcomes.ok()) << outcomes.problems().front().ToString();
  for (const TestOutcome& outcome : outcomes.value()) {
    EXPECT_TRUE(outcome.passed) << outcome.ToString();
  }
}

TEST_P(ShippedProfileTest, HasNothingForLintButNotes) {
  const LintFacts facts{.places = kPlaces,
                        .lookup = [](const std::string& path) -> std::optional<FileFacts> {
                          if (auto found = ThisMachine(path)) return found->file;
                          return std::nullopt;
                        }};
  for (const Finding& finding : Lint(Load(GetParam()), facts)) {
    EXPECT_EQ(finding.severity, Severity::kNote) << finding.ToString();
  }
}

bool SameConditions(const When& a, const When& b) {
  return a.exe == b.exe && a.args == b.args && a.script == b.script && a.writable == b.writable &&
         a.args_any == b.args_any && a.args_none == b.args_none && a.cwd == b.cwd;
}

TEST(NetworkOfProfilesTest, ReachesPackageSourcesOfThisHostByTheirGroupsOnly) {
  const GroupMembers sources = {{"npm", {"npm.mirror.example:4873"}},
                                {"apt", {"deb.mirror.example:80"}}};
  for (const char* name : {"standard", "agents/codex", "agents/opencode"}) {
    const auto policy =
        NetworkPolicy::Compile(Load(name), std::chrono::system_clock::now(), sources);
    ASSERT_TRUE(policy.ok()) << policy.problems().front().ToString();
    const auto decide = [&](const char* host, std::uint16_t port) {
      return policy.value().Decide({.host = host, .port = port});
    };
    EXPECT_EQ(decide("npm.mirror.example", 4873).action, Action::kAllow) << name;
    EXPECT_EQ(decide("npm.mirror.example", 4873).rule.name, "package-sources") << name;
    EXPECT_EQ(decide("deb.mirror.example", 80).action, Action::kAllow) << name;
    EXPECT_NE(decide("npm.mirror.example", 22).action, Action::kAllow) << name;
    EXPECT_NE(decide("x.npm.mirror.example", 4873).action, Action::kAllow) << name;
  }
}

TEST(CiProfileTest, DeniesWithItsOwnRulesEverythingThatStrictAsksAbout) {
  const Profile ci = Load("ci");
  const auto is_own = [](const CommandRule& rule) { return rule.at.file == "ci.yaml"; };
  for (const CommandRule& rule : ci.command_rules) {
    EXPECT_FALSE(is_own(rule) && rule.then == Action::kAsk) << rule.at.ToString();
    if (is_own(rule) || rule.then != Action::kAsk) continue;
    const bool denied =
        std::any_of(ci.command_rules.begin(), ci.command_rules.end(), [&](const CommandRule& own) {
          return is_own(own) && own.then == Action::kDeny && SameConditions(own.when, rule.when);
        });
    EXPECT_TRUE(denied) << rule.at.ToString() << " asks in ci as well";
  }
  EXPECT_EQ(ci.command_default.value, Action::kDeny);
  EXPECT_EQ(ci.network_default.value, Action::kDeny);
}

TEST(ObserveProfileTest, LeavesNothingToJudge) {
  const auto policy =
      Policy::Compile(Load("observe"), kPlaces, [](const std::string&) { return std::nullopt; });
  ASSERT_TRUE(policy.ok());
  EXPECT_EQ(policy.value()->Uniform(), Action::kAllow);
}

}  // namespace
}  // namespace cellrun::policy
