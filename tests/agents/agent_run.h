// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/sandbox.h"

namespace cellrun::test {

// An agent, in one of its modes, and the profile that it runs under.
struct AgentSetup {
  const char* name;     // of the test case: "codex_strict"
  const char* agent;    // "codex", "opencode": run-NAME.sh
  const char* model;    // CODEX_MODEL: which tools it offers
  const char* program;  // as which its process is found
  const char* profile;
};

// A real coding agent, its model (mock-llm.mjs) and the driver, all in one cell on a workspace that
// is a git repository. The packages are those of `./dev setup --agents`.
class AgentRun : public Sandbox {
 protected:
  void SetUp() override;

  // What the model will ask for, one step a turn (README.md). "say" is added as the last step.
  void Script(nlohmann::json steps);
  [[nodiscard]] Options InCell(const AgentSetup& setup) const;
  // The driver's command line; `prefix` is what it starts the agent with.
  [[nodiscard]] Words Driver(const AgentSetup& setup, const Words& prefix = {}) const;
  [[nodiscard]] const std::string& packages() const { return packages_; }
  Outcome RunAgent(const AgentSetup& setup);
  Outcome RunAgent(const AgentSetup& setup, const Options& options);

  // What the driver logged of the last run.
  [[nodiscard]] std::vector<nlohmann::json> Log() const;
  // What the model was told about a call; null if it never was.
  [[nodiscard]] nlohmann::json Result(int step, int index = 0) const;
  [[nodiscard]] std::string Told(int step, int index = 0) const;  // the text of it
  // Whether the script was followed to its end.
  [[nodiscard]] bool SaidTheLastWord() const;
  // Waits until the file is there.
  [[nodiscard]] static bool Appears(const std::string& path);

 private:
  std::string packages_, driver_;
};

}  // namespace cellrun::test
