// SPDX-License-Identifier: Apache-2.0
// What a cell that floods its way out costs others: `./dev bench network` has the figures, these
// are limits that hold on a busy machine too.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "lib/wire/gateway.h"
#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::HasSubstr;

long ResidentKib(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stol(line.substr(6));
  }
  return 0;
}

class FloodSlowTest : public Sandbox {
 protected:
  static std::string Program(const std::string& name) {
    return std::filesystem::path(Probe()).parent_path() / name;
  }
  Options Letting(const std::string& rule) {
    return {.profile = WriteProfile("cellrun: 1\nname: flood\ncommands: {default: allow}\n"
                                    "network:\n  default: deny\n  rules:\n    - " +
                                    rule + "\n"),
            .flags = ProbeFlags(),
            .time_limit = std::chrono::seconds(120)};
  }
  // A server outside of every cell, on two ports of its own.
  Process Serve() {
    Process server({.argv = {Program("traffic"), "serve", "127.0.0.1", "0", "0"},
                    .environment = InheritedEnvironment(),
                    .hold_input = true,
                    .time_limit = std::chrono::seconds(120)});
    EXPECT_TRUE(server.WaitForOutput("\n")) << server.err();
    std::istringstream words(server.out());
    std::string up;
    words >> up >> sink_ >> echo_;
    return server;
  }
  Process StartTraffic(Words argv, Options options) {
    options.hold_input = true;
    argv.insert(argv.begin(), Program("traffic"));
    return Start(argv, options);
  }
  // "MEDIAN P99" in nanoseconds; a limit that an outcome does not keep fails the case.
  static void ExpectWorst(const Outcome& outcome, std::chrono::milliseconds limit) {
    ASSERT_EQ(outcome.status, 0) << outcome;
    std::istringstream words(outcome.out);
    long long median = 0, worst = 0;
    ASSERT_TRUE(words >> median >> worst) << outcome;
    RecordProperty("p50_us", static_cast<int>(median / 1000));
    RecordProperty("p99_us", static_cast<int>(worst / 1000));
    EXPECT_LT(worst, std::chrono::nanoseconds(limit).count()) << outcome;
  }
  std::string sink_, echo_;
};

constexpr std::chrono::milliseconds kBusy{100};  // 10 ms is the aim, on a machine that is not

TEST_F(FloodSlowTest, AnotherCellsNamesAreAnswered) {
  const Options open = Letting("{to: [git.example.com, '*.example.net'], then: allow}");
  const Words ask = {Program("traffic"), "ask", &wire::kGatewayAddress[0], "git.example.com",
                     "2000"};
  ExpectWorst(Run(ask, open), kBusy);
  Process flood = StartTraffic({"flood", &wire::kGatewayAddress[0], "example.net", "50000"}, open);
  ASSERT_TRUE(flood.WaitForOutput("up\n")) << flood.err();
  ExpectWorst(Run(ask, open), kBusy);  // by now the flood has had all the names that it gets
  const long before = ResidentKib(BrokerPid());
  ExpectWorst(Run(ask, open), kBusy);
  EXPECT_LT(ResidentKib(BrokerPid()), before + 4096);
}

TEST_F(FloodSlowTest, AnotherCellsExecsAreJudged) {
  const Process server = Serve();
  const Options open = Letting("{to: host, ports: [" + sink_ + "], then: allow}");
  Process pour = StartTraffic({"pour", &wire::kHostAddress[0], sink_}, open);
  ASSERT_TRUE(pour.WaitForOutput("up\n")) << pour.err();
  ExpectWorst(Run({Program("pace"), "300", "1000", Program("minimal")}, open), kBusy);
}

TEST_F(FloodSlowTest, IdleConnectionsCostTheBrokerLittle) {
  const Process server = Serve();
  const Options open = Letting("{to: host, ports: [" + echo_ + "], then: allow}");
  const auto hold = [&](const std::string& count) {
    return StartTraffic({"hold", &wire::kHostAddress[0], echo_, count}, open);
  };
  StartBroker();
  Process few = hold("10");
  ASSERT_TRUE(few.WaitForOutput("up\n")) << few.err();
  const long before = ResidentKib(BrokerPid());
  Process many = hold("1000");
  ASSERT_TRUE(many.WaitForOutput("up\n")) << many.err();
  EXPECT_LT(ResidentKib(BrokerPid()), before + 1000 * 32);
  // Each can still be used, and one more than a cell may have is refused as such.
  Process more = hold("3000");
  EXPECT_FALSE(more.WaitForOutput("up\n"));
  EXPECT_THAT(more.Wait().err, HasSubstr("connect: Resource temporarily unavailable"));
}

}  // namespace
}  // namespace cellrun::test
