// SPDX-License-Identifier: Apache-2.0
// `check:` of a rule: a program of the person's own that is told what would run, and can only make
// the verdict stricter.
#include <gmock/gmock.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class CheckersTest : public Sandbox {
 protected:
  // A checker that prints what it was told into its own stderr, and answers with `script`.
  std::string Checker(const std::string& script) {
    return Write(Path("check" + std::to_string(++checkers_)), "#!/bin/sh\n" + script, 0755);
  }
  Options Checked(const std::string& checker, const std::string& then = "allow",
                  const std::string& more = "", const std::string& rules = "") {
    return {.profile = WriteProfile(
                "cellrun: 1\nname: checked\nextends: [base]\ncommands:\n  default: allow\n"
                "  rules:\n" +
                rules + "    - {name: ids, when: {exe: id}, then: " + then + ", check: '" +
                checker + "'" + more + "}\napprovals: {timeout: 60s}\n")};
  }
  json NextAsk() {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (std::chrono::steady_clock::now() < deadline) {
      const Outcome list = Cellrun({"approvals", "list", "-o", "json"});
      if (list.status == 0) {
        const json asks = json::parse(list.out);
        if (!asks.empty()) {
          const Outcome one =
              Cellrun({"approvals", "show", asks[0]["id"].get<std::string>(), "-o", "json"});
          const json shown = json::parse(one.out);
          return shown.is_array() ? shown[0] : shown;
        }
      }
      std::this_thread::sleep_for(5ms);
    }
    ADD_FAILURE() << "nothing was asked";
    return {};
  }
  static constexpr const char* kAllow = "echo '{\"verdict\":\"allow\"}'\n";

 private:
  int checkers_ = 0;
};

TEST_F(CheckersTest, IsToldWhatAPersonWouldBeShown) {
  // It has nowhere to write; what it was told comes back as its reason.
  const Options options = Checked(Checker(
      "python3 -c 'import json, sys\n"
      "told = json.load(sys.stdin)\n"
      "keys = [\"exe\", \"argv\", \"cwd\", \"strategy\", \"cell\", \"profile\"]\n"
      "text = json.dumps({key: told[key] for key in keys} | {\"hash\": told[\"image_hash\"][:7], "
      "\"rule\": told[\"rule\"][\"name\"], \"parents\": len(told[\"parent\"])})\n"
      "print(json.dumps({\"verdict\": \"deny\", \"reason\": text}))' 2>&1\n"));
  const Outcome outcome = Shell("id -u 'a b'; echo status=$?", options);
  EXPECT_EQ(outcome.out, "status=126\n") << outcome;
  const std::size_t at = outcome.err.find("check: ");
  ASSERT_NE(at, std::string::npos) << outcome;
  const json told = json::parse(outcome.err.substr(at + 7), nullptr, false);
  ASSERT_TRUE(told.is_object()) << outcome;
  EXPECT_EQ(told["exe"], "/usr/bin/id");
  EXPECT_EQ(told["argv"], json({"id", "-u", "a b"}));
  EXPECT_EQ(told["cwd"], Work());
  EXPECT_EQ(told["rule"], "ids");
  EXPECT_EQ(told["hash"], "sha256:");
  EXPECT_GE(told["parents"], 1);
}

TEST_F(CheckersTest, WhatItAllowsRunsInPlaceAndElsewhere) {
  for (const char* more : {"", ", run: mirror", ", run: ghost"}) {
    const Outcome outcome =
        Shell("id -u | grep -c .; echo status=$?", Checked(Checker(kAllow), "allow", more));
    EXPECT_EQ(outcome.out, "1\nstatus=0\n") << more << outcome;
  }
  int checked = 0;
  for (const json& record : History()) {
    if (record.value("result", "") != "checked") continue;
    ++checked;
    EXPECT_EQ(record["kind"], "ask");
    EXPECT_EQ(record["detail"]["answer"], "allow");
  }
  EXPECT_EQ(checked, 3);
}

TEST_F(CheckersTest, WhatItDeniesDoesNotRun) {
  const Outcome outcome =
      Shell("id -u; echo status=$?",
            Checked(Checker("echo '{\"verdict\":\"deny\",\"reason\":\"not on a Sunday\"}'\n")));
  EXPECT_EQ(outcome.out, "status=126\n") << outcome;
  EXPECT_THAT(outcome.err,
              AllOf(HasSubstr("cellrun: denied: id -u"), HasSubstr("check: not on a Sunday")));
}

TEST_F(CheckersTest, EveryFailureIsADenial) {
  const std::pair<const char*, std::string> kFailures[] = {
      {"crash", "kill -9 $$\n"},
      {"status", std::string(kAllow) + "exit 3\n"},
      {"garbage", "echo yes\n"},
      {"nothing", "true\n"},
      {"unknown key", "echo '{\"verdict\":\"allow\",\"extra\":1}'\n"},
      {"twice", std::string(kAllow) + kAllow},
      {"too long", "head -c 2000000 /dev/zero | tr '\\0' ' '; " + std::string(kAllow)},
      {"another program", "echo '{\"verdict\":\"rewrite\",\"argv\":[\"sh\"]}'\n"},
      {"too late", "sleep 60; " + std::string(kAllow)},
  };
  for (const auto& [name, script] : kFailures) {
    const Outcome outcome = Shell("id -u; echo status=$?", Checked(Checker(script)));
    EXPECT_EQ(outcome.out, "status=126\n") << name << outcome;
    EXPECT_THAT(outcome.err, HasSubstr("check: ")) << name;
  }
  const Outcome missing = Shell("id -u; echo status=$?", Checked("/nowhere/check"));
  EXPECT_EQ(missing.out, "status=126\n") << missing;
}

TEST_F(CheckersTest, TheCellCannotBeItsOwnChecker) {
  Write(Work("check"), std::string("#!/bin/sh\n") + kAllow, 0755);
  const Outcome outcome = Shell("id -u; echo status=$?", Checked(Work("check")));
  EXPECT_EQ(outcome.out, "status=126\n") << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("lies where the cell can write"));
}

TEST_F(CheckersTest, ReachesNothingAndWritesNowhere) {
  const std::string canary = Write(Home("canary"), "s3cr3t\n");
  const Outcome outcome = Shell(
      "echo here > there; id -u; echo status=$?",
      Checked(
          Checker("cd '" + Work() +
                  "' && cat there >/dev/null && wrote=no\n"
                  "touch made 2>/dev/null && wrote=yes\n"
                  "net=$(ls /sys/class/net 2>/dev/null | grep -vc '^lo$')\n"
                  "(exec 3<>/dev/tcp/192.0.2.1/80) 2>/dev/null && net=yes\n"
                  "home=$(cat '" +
                  canary +
                  "' 2>/dev/null)\n"
                  "echo \"{\\\"verdict\\\":\\\"deny\\\",\\\"reason\\\":\\\"wrote=$wrote net=$net "
                  "home=[$home]\\\"}\"\n")));
  EXPECT_THAT(outcome.err, HasSubstr("check: wrote=no net=0 home=[]")) << outcome;
  EXPECT_FALSE(Exists(Work("made")));
}

TEST_F(CheckersTest, WhatItChangesRunsAsChangedAndIsRecorded) {
  const std::string rewrite = "echo '{\"verdict\":\"rewrite\",\"argv\":[\"id\",\"-un\"]}'\n";
  const Outcome outcome = Shell("id -u; echo status=$?", Checked(Checker(rewrite)));
  EXPECT_THAT(outcome.out, HasSubstr("status=0")) << outcome;
  EXPECT_THAT(outcome.out.substr(0, 1), Not(testing::MatchesRegex("[0-9]"))) << outcome;
  bool ran = false;
  for (const json& record : History({"--kind", "exec"})) {
    if (record.value("result", "") != "ran" || record["argv"] != json({"id", "-un"})) continue;
    ran = record["detail"]["checked"] == true;
  }
  EXPECT_TRUE(ran);
}

TEST_F(CheckersTest, WhatAnotherRuleDecidesIsNotItsToAllow) {
  const std::string rules =
      "    - {when: {exe: id, args: ['-G']}, then: deny}\n"
      "    - {when: {exe: id, args: ['-g']}, then: allow}\n";
  const auto to = [this](const char* option) {
    return Checker("echo '{\"verdict\":\"rewrite\",\"argv\":[\"id\",\"" + std::string(option) +
                   "\"]}'\n");
  };
  const Outcome denied = Shell("id -u; echo status=$?", Checked(to("-G"), "allow", "", rules));
  EXPECT_EQ(denied.out, "status=126\n") << denied;
  Process cell =
      Start({"bash", "-c", "id -u; echo status=$?"}, Checked(to("-g"), "allow", "", rules));
  const json ask = NextAsk();
  EXPECT_EQ(ask["argv"], json({"id", "-g"}));
  EXPECT_EQ(ask["original_argv"], json({"id", "-u"}));
  EXPECT_EQ(ask["rememberable"], false);
  EXPECT_EQ(Cellrun({"deny", ask["id"].get<std::string>()}).status, 0);
  EXPECT_EQ(cell.Wait().out, "status=126\n");
}

TEST_F(CheckersTest, APersonIsAskedWhereItSaysSoAndIsShownWhatItChanged) {
  Process cell = Start({"bash", "-c", "id -u; echo status=$?"},
                       Checked(Checker("echo '{\"verdict\":\"ask\",\"reason\":\"looks odd\"}'\n")));
  const json ask = NextAsk();
  EXPECT_THAT(ask["risk"].dump(), HasSubstr("a checker wants a person to decide: looks odd"));
  EXPECT_EQ(Cellrun({"approve", ask["id"].get<std::string>()}).status, 0);
  EXPECT_THAT(cell.Wait().out, HasSubstr("status=0"));

  // An ask stays one, whatever the checker allows.
  Process second = Start({"bash", "-c", "id -u; echo status=$?"}, Checked(Checker(kAllow), "ask"));
  const json plain = NextAsk();
  EXPECT_EQ(plain["original_argv"], json::array());
  EXPECT_EQ(Cellrun({"deny", plain["id"].get<std::string>()}).status, 0);
  EXPECT_EQ(second.Wait().out, "status=126\n");
}

TEST_F(CheckersTest, ThatOfAnInterpreterIsHeardForItsScripts) {
  Write(Work("script"), "#!/bin/dash\necho ran\n", 0755);
  const std::string no = Checker("echo '{\"verdict\":\"deny\",\"reason\":\"no dash\"}'\n");
  const Outcome outcome =
      Shell("./script; echo status=$?; ls >/dev/null; echo status=$?",
            Checked(Checker(kAllow), "allow", "",
                    "    - {when: {exe: dash}, then: allow, check: '" + no + "'}\n"));
  EXPECT_EQ(outcome.out, "status=126\nstatus=0\n") << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("check: no dash"));
}

TEST_F(CheckersTest, ManyAtOnceAreAllHeard) {
  const Outcome outcome =
      Shell("for i in $(seq 20); do (id -u >/dev/null; echo status=$?) & done; wait",
            Checked(Checker(kAllow)));
  std::size_t count = 0;
  for (std::size_t at = 0; (at = outcome.out.find("status=0", at)) != std::string::npos; ++at)
    ++count;
  EXPECT_EQ(count, 20U) << outcome;
}

TEST_F(CheckersTest, UnderObservationItIsNotHeard) {
  Options options = Checked(Checker("echo '{\"verdict\":\"deny\"}'\n"));
  options.flags = {"--observe"};
  EXPECT_THAT(Shell("id -u >/dev/null; echo status=$?", options).out, HasSubstr("status=0"));
}

}  // namespace
}  // namespace cellrun::test
