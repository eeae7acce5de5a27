// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "lib/policy/document_fixture.h"
#include "lib/policy/load.h"
#include "lib/policy/show.h"

namespace cellrun::policy {
namespace {

using fixture::Body;
using fixture::kPlaces;

// A profile to damage: small, and with something of every shape.
constexpr const char* kSeed = R"(cellrun: 1
name: seed
extends: [base]
filesystem: {workspace: rw, hide: ["**/.env", ~/.ssh], tmp: 2G}
commands:
  default: ask
  rules:
    - {name: a, when: {exe: [ls, "/opt/*"], args: ["{a,b}", "**"], env: {CI: null}}, then: allow}
    - when:
        exe: git
        hash: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
      then: deny
      message: "no \u00e4 \"way\""
      expires: 2199-12-31
network:
  rules: [{to: ["@npm", 10.0.0.0/8, "*.x.example"], ports: [22, "80-90"], then: deny}]
  groups: {g: ["a.example:1"]}
limits: {processes: 512, cpus: 0.5, time: 8h}
environment: {pass: [LC_*], set: {CI: '1'}}
tests:
  - {exec: [git, push], expect: ask}
)";

// What a hostile or careless editor puts in.
const std::string kPieces[] = {"[",
                               "]",
                               "{",
                               "}",
                               ":",
                               ": ",
                               "- ",
                               "\n",
                               "\n  ",
                               "\t",
                               "\"",
                               "'",
                               "|",
                               ">",
                               "&a ",
                               "*a",
                               "!x ",
                               "<<: ",
                               "? ",
                               "#",
                               "%",
                               "---\n",
                               "...\n",
                               "\\",
                               "\\u",
                               "\xFF",
                               "\xC3",
                               std::string(1, '\0'),
                               "\xE2\x80\xAE",
                               "~",
                               "null",
                               "true",
                               "0x",
                               "99999999999999999999",
                               "-1",
                               ".nan",
                               "**",
                               "[!",
                               "{,",
                               "re:(((",
                               "re:(a+)+",
                               "..",
                               "../",
                               "/",
                               "@",
                               "@@",
                               "::",
                               "sha256:",
                               "cellrun: 1\n",
                               ",,",
                               "\r",
                               "\xEF\xBB\xBF",
                               "E2BIG",
                               "2026-99-99",
                               "  - when: {}\n",
                               std::string(300, '[')};

std::string Mutate(const std::string& seed, std::mt19937* random) {
  std::string text = seed;
  const auto below = [&](std::size_t bound) { return (*random)() % bound; };
  const std::size_t edits = 1 + below(4);
  for (std::size_t i = 0; i < edits && !text.empty(); ++i) {
    const std::size_t at = below(text.size());
    const std::size_t length = below(20);
    switch (below(6)) {
      case 0:
        text.erase(at, length);
        break;
      case 1:
        text.insert(at, kPieces[below(std::size(kPieces))]);
        break;
      case 2:
        text[at] = static_cast<char>(below(256));
        break;
      case 3:
        text.insert(at, text.substr(below(text.size()), length * 4));
        break;
      case 4:
        text.resize(at);  // truncated
        break;
      default:
        text.replace(at, length, kPieces[below(std::size(kPieces))]);
    }
  }
  return text;
}

TEST(MutatedProfileTest, EitherLoadsOrSaysWhereItIsWrong) {
  std::mt19937 random(20240229);  // NOLINT(cert-msc51-cpp): the same documents every time
  const std::vector<Layer> layers{Layer::kProfile, Layer::kWorkspace, Layer::kFloor};
  int loaded = 0, refused = 0;
  for (int i = 0; i < 6000; ++i) {
    const std::string text = Mutate(kSeed, &random);
    const Layer layer = layers[static_cast<std::size_t>(i) % layers.size()];
    const Checked<Profile> profile = LoadProfile(
        {{"", "m.yaml", text, layer}, Body("name: base\n", Layer::kInherited, "base")}, kPlaces);
    if (profile.ok()) {
      ++loaded;
      EXPECT_FALSE(ShowProfile(profile.value(), ShowFormat::kText).empty());
      continue;
    }
    ++refused;
    ASSERT_FALSE(profile.problems().empty());
    ASSERT_LE(profile.problems().size(), 20U);
    for (const Problem& problem : profile.problems()) {
      const std::string shown = problem.ToString();
      ASSERT_TRUE(shown.starts_with("m.yaml")) << shown;
      ASSERT_TRUE(std::all_of(shown.begin(), shown.end(), [](char c) {
        return static_cast<unsigned char>(c) >= 0x20 && c != '\x7F';
      })) << shown;
    }
  }
  // Both outcomes occur, so neither branch above is idle.
  EXPECT_GT(loaded, 50);
  EXPECT_GT(refused, 2000);
}

TEST(TruncatedProfileTest, NeverCrashesAtAnyLength) {
  const std::string seed = kSeed;
  for (std::size_t length = 0; length < seed.size(); ++length) {
    (void)LoadProfile({{"", "m.yaml", seed.substr(0, length), Layer::kProfile}}, kPlaces);
  }
}

TEST(RandomBytesTest, AreRefused) {
  std::mt19937 random(7);  // NOLINT(cert-msc51-cpp): the same bytes every time
  for (int i = 0; i < 500; ++i) {
    std::string text(1 + random() % 400, '\0');
    for (char& c : text) c = static_cast<char>(random());
    EXPECT_FALSE(LoadProfile({{"", "m.yaml", text, Layer::kProfile}}, kPlaces).ok());
  }
}

std::string ManyRules(int count) {
  std::string text = "cellrun: 1\ncommands:\n  rules:\n";
  for (int i = 0; i < count; ++i) {
    text += "    - {when: {exe: /usr/bin/tool" + std::to_string(i) + "}, then: allow}\n";
  }
  return text;
}

// 100 ms at -O2 is the goal; the bound is for sanitizers on a busy machine.
TEST(LargeProfileTest, TenThousandRulesLoadInShortTime) {
  const Source source{"", "m.yaml", ManyRules(10'000), Layer::kProfile};
  const auto start = std::chrono::steady_clock::now();
  const Checked<Profile> profile = LoadProfile({source}, kPlaces);
  const auto taken = std::chrono::steady_clock::now() - start;
  ASSERT_TRUE(profile.ok());
  EXPECT_EQ(profile.value().command_rules.size(), 10'000U);
  const auto taken_us = std::chrono::duration_cast<std::chrono::microseconds>(taken).count();
  RecordProperty("microseconds", std::to_string(taken_us));
  EXPECT_LT(taken, std::chrono::seconds(3));
}

// As many keys and names as fit into the size limit: nothing may be quadratic.
TEST(LargeProfileTest, ManyNamesLoadInShortTime) {
  std::string tools = "tools:\n", set = "environment:\n  set:\n", hide = "filesystem:\n  hide:\n";
  std::string unknown, expressions = "commands:\n  rules:\n    - then: ask\n      when:\n";
  expressions += "        args-any:\n";
  for (int i = 0; i < 25'000; ++i) {
    const std::string number = std::to_string(i);
    tools += "  - {name: tool" + number + "}\n";
    set += "    V" + number + ": x\n";
    hide += "    - h" + number + "\n";
    unknown += "u" + number + ": 1\n";
    expressions += "        - 're:\\pL{1000}" + number + "'\n";
  }
  for (const std::string& body : {tools, set, hide, unknown, expressions}) {
    const auto start = std::chrono::steady_clock::now();
    (void)LoadProfile({Body(body)}, kPlaces);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5))
        << body.substr(0, 20);
  }
}

}  // namespace
}  // namespace cellrun::policy
