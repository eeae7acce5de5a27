// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/required.h"
#include "tests/support/terminal.h"

namespace cellrun::test {

using Words = std::vector<std::string>;

struct Options {
  std::string profile = "strict";
  Words flags = {};  // further options of run, before "--"
  std::string input = {};
  bool hold_input = false;
  Environment environment = {};  // beside what every run gets
  std::string directory = {};    // "" for the workspace
  int stdin_fd = -1, stdout_fd = -1, stderr_fd = -1;
  std::function<void()> in_child = {};
  std::chrono::seconds time_limit{60};
};

// One person's cellrun: runtime, state and configuration directories, a home and a workspace of its
// own, so that cases run in parallel. When a case ends its broker is stopped, and it fails if any
// process, mount or socket of it is left.
class Sandbox : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // cellrun with exactly these arguments.
  Outcome Cellrun(const Words& arguments, const Options& options = {});
  // cellrun run --profile … -- argv
  Outcome Run(const Words& argv, const Options& options = {});
  // The same, still running.
  Process Start(const Words& argv, const Options& options = {});
  // bash -c script in a cell.
  Outcome Shell(const std::string& script, const Options& options = {});
  // Without cellrun, with the same environment, identity and workspace: shows that an attack works
  // where nobody is in its way.
  Outcome Bare(const Words& argv, const Options& options = {});
  Command CellrunCommand(const Words& arguments, const Options& options = {}) const;
  Words RunArguments(const Words& argv, const Options& options) const;

  // Looks every few milliseconds; false: it did not hold within that time.
  static bool Until(const std::function<bool()>& holds,
                    std::chrono::seconds limit = std::chrono::seconds(20));

  // Records of the journal, oldest first. What was found out later about one (`of`) is folded into
  // it.
  std::vector<nlohmann::json> History(const Words& filters = {});
  // Starts a broker that outlives the calls of the case; its pid.
  pid_t StartBroker();
  [[nodiscard]] pid_t BrokerPid() const;  // 0: none

  // Absolute paths. Files are made with their parents.
  [[nodiscard]] std::string Path(const std::string& name) const;       // below the case's directory
  [[nodiscard]] std::string Work(const std::string& name = "") const;  // below the workspace
  [[nodiscard]] std::string Home(const std::string& name = "") const;
  [[nodiscard]] std::string RuntimeDirectory() const { return Path("run"); }
  static std::string Prefix();                       // of the installed copy
  static std::string Data(const std::string& name);  // tests/integration/data
  static std::string Probe();                        // tests/cells/probe
  static bool IsRootLane();
  std::string Write(const std::string& path, std::string_view content, mode_t mode = 0644);
  static std::string Read(const std::string& path);  // "" if it cannot be read
  static bool Exists(const std::string& path);
  // Writes a profile file below the case's directory; what --profile takes.
  std::string WriteProfile(std::string_view yaml);
  // A profile that lets everything run that the floor of a cell allows.
  std::string OpenProfile();
  // The probe, made readable inside: {"--read", directory}.
  static Words ProbeFlags();

  void MayLeaveSockets() { sockets_may_stay_ = true; }  // after kill -9 of a broker

 private:
  void RemoveCgroups() const;

  std::string scratch_, workspace_;
  int profiles_ = 0;
  bool sockets_may_stay_ = false;
};

#define REQUIRE_KERNEL(feature)                                    \
  REQUIRE_OR_SKIP(::cellrun::test::MissingReason(feature).empty(), \
                  ::cellrun::test::MissingReason(feature))
enum class Feature { kUserNamespaces, kLandlock, kOverlayTmpfs, kProcChildren };
// "" when the running kernel lets this process have it; otherwise what is missing.
std::string MissingReason(Feature feature);

}  // namespace cellrun::test
