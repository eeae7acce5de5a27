// SPDX-License-Identifier: Apache-2.0
#include "tests/agents/agent_run.h"

#include <stdlib.h>
#include <unistd.h>

#include <sstream>

namespace cellrun::test {
namespace {

constexpr std::chrono::seconds kLongestRun{300};  // many of them on few cores

std::string Variable(const char* name) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing in a test changes the environment
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

void AgentRun::SetUp() {
  Sandbox::SetUp();
  packages_ = Variable("CELLRUN_TEST_AGENTS");
  REQUIRE_OR_SKIP(!packages_.empty(), "the agents are not installed: ./dev setup --agents");
  driver_ = Variable("CELLRUN_TEST_ROOT") + "/agents";
  ASSERT_EQ(Bare({"git", "init", "-q", "-b", "main", "."}).status, 0);
  Write(Work("hello.c"), "#include <stdio.h>\nint main(void) { return puts(\"hello\") < 0; }\n");
}

void AgentRun::Script(nlohmann::json steps) {
  steps.push_back({{"say", "the last word"}});
  Write(Path("script/script.json"), steps.dump());
}

Options AgentRun::InCell(const AgentSetup& setup) const {
  return {.profile = setup.profile,
          .flags = {"--read", packages_, "--read", driver_, "--read", Path("script"), "--env",
                    "AGENTS_DIR=" + packages_, "--env", std::string("CODEX_MODEL=") + setup.model},
          .environment = {{"AGENTS_DIR", packages_}, {"CODEX_MODEL", setup.model}},
          .time_limit = kLongestRun};
}

Words AgentRun::Driver(const AgentSetup& setup, const Words& prefix) const {
  Words command = {"bash", driver_ + "/run-" + setup.agent + ".sh", Work(),
                   Path("script/script.json"), Work("agent.jsonl")};
  if (!prefix.empty()) command.emplace_back("--");
  command.insert(command.end(), prefix.begin(), prefix.end());
  return command;
}

Outcome AgentRun::RunAgent(const AgentSetup& setup) {
  return RunAgent(setup, InCell(setup));
}

Outcome AgentRun::RunAgent(const AgentSetup& setup, const Options& options) {
  return Run(Driver(setup), options);
}

std::vector<nlohmann::json> AgentRun::Log() const {
  std::vector<nlohmann::json> events;
  std::istringstream lines(Read(Work("agent.jsonl")));
  for (std::string line; std::getline(lines, line);) {
    events.push_back(nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false));
  }
  return events;
}

nlohmann::json AgentRun::Result(int step, int index) const {
  nlohmann::json last;  // a command that is polled has several
  for (const nlohmann::json& event : Log()) {
    if (event.value("ev", "") == "result" && event.value("step", -1) == step &&
        event.value("index", -1) == index) {
      last = event;
    }
  }
  return last;
}

std::string AgentRun::Told(int step, int index) const {
  const nlohmann::json result = Result(step, index);
  return result.is_object() ? result.value("text", "") : "";
}

bool AgentRun::SaidTheLastWord() const {
  for (const nlohmann::json& event : Log()) {
    if (event.value("ev", "") == "say" && event.value("last", false)) return true;
  }
  return false;
}

bool AgentRun::Appears(const std::string& path) {
  const auto deadline = std::chrono::steady_clock::now() + kLongestRun;
  while (!Exists(path)) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    usleep(10000);
  }
  return true;
}

}  // namespace cellrun::test
