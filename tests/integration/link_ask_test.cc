// SPDX-License-Identifier: Apache-2.0
// `then: ask` on a link of a #! chain: the strictest link decides, and what is asked about is the
// script with all of them.
#include <gmock/gmock.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class LinkAskTest : public Sandbox {
 protected:
  // The script itself is allowed; only its interpreter is asked about.
  Options AskingAboutSh() {
    return {.profile = WriteProfile(
                "cellrun: 1\nname: links\nextends: [base]\ncommands:\n  default: allow\n  rules:\n"
                "    - {name: shells, when: {exe: sh}, then: ask}\napprovals: {timeout: 60s}\n")};
  }
  json AwaitAsk() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (std::chrono::steady_clock::now() < deadline) {
      const json asks =
          json::parse(Cellrun({"approvals", "list", "-o", "json"}).out, nullptr, false);
      if (asks.is_array() && !asks.empty()) return asks[0];
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ADD_FAILURE() << "nobody asked";
    return {{"id", "none"}};
  }
};

TEST_F(LinkAskTest, TheInterpretersAskIsTheScripts) {
  Write(Work("script"), "#!/bin/sh\necho ran $1 >> out\n", 0755);
  ASSERT_EQ(Bare({"./script", "bare"}).status, 0);
  ASSERT_EQ(Read(Work("out")), "ran bare\n") << "without cellrun it runs";
  Process cell =
      Start({"bash", "-c", "./script one; echo $?; ./script two; echo $?"}, AskingAboutSh());
  const json first = AwaitAsk();
  EXPECT_EQ(first.value("exe", ""), Work("script"));
  EXPECT_THAT(first["chain"].dump(), HasSubstr("/bin/"));
  EXPECT_EQ(first["rule"].value("name", ""), "shells");
  EXPECT_EQ(Read(Work("out")), "ran bare\n") << "nothing of it may have run";
  ASSERT_EQ(Cellrun({"approve", first["id"]}).status, 0);
  ASSERT_TRUE(cell.WaitForOutput("0\n"));
  ASSERT_EQ(Cellrun({"deny", AwaitAsk()["id"], "--reason", "once is enough"}).status, 0);
  const Outcome outcome = cell.Wait();
  EXPECT_EQ(outcome.out, "0\n126\n") << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("once is enough"));
  EXPECT_EQ(Read(Work("out")), "ran bare\nran one\n");
}

TEST_F(LinkAskTest, AnInterpreterThatTheCellCanRewriteCannotBeApproved) {
  Write(Work("inner"), "#!/bin/sh\necho ran >> out\n", 0755);
  Write(Work("outer"), "#!" + Work("inner") + "\n", 0755);
  ASSERT_EQ(Bare({"./outer"}).status, 0);
  ASSERT_EQ(Read(Work("out")), "ran\n") << "without cellrun it runs";
  const Outcome outcome = Run({"bash", "-c", "./outer; echo $?"}, AskingAboutSh());
  EXPECT_EQ(outcome.out, "126\n") << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("cannot be approved"));
  EXPECT_EQ(Read(Work("out")), "ran\n");
}

}  // namespace
}  // namespace cellrun::test
