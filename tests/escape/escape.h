// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "tests/support/sandbox.h"

// The attack suite. Each case is one row of a table: what an attacker would do, carried out first
// without cellrun, where it must succeed, and then in a cell, where it must not. What counts is
// what an observer outside finds; the attack's own word only where nobody outside could know.
namespace cellrun::test {

class Escape;

struct Case {
  const char* row;   // of the catalogue: group and number, "A1"; X: not in it
  const char* name;  // "path_spellings"
  const char* what;  // the attack, in a few words
  void (*play)(Escape& escape);
};
void PrintTo(const Case& one, std::ostream* stream);

// Whether an attack is shown to succeed without cellrun, and if not, why not.
enum class Shown {
  kSucceeds,
  kInNamespaces,  // as root of namespaces of its own: on the host it would need root, or do harm
  kAsRoot,        // only root may outside; the root lane shows it
  kAimsAtCell,    // what it aims at exists only in a cell
  kNoTarget,      // this kernel has nothing there that it could reach
  kWouldHarm,     // without a cell it would hit everybody on the machine
};

struct Attack {
  Words argv = {};
  std::string profile = {};  // "": everything may run
  Shown bare = Shown::kSucceeds;
  std::function<void()> prepare = {};        // before each of the two; the workspace is empty then
  std::function<std::string()> damage = {};  // what is found outside afterwards; "" for nothing
  Options options = {};
  bool may_be_killed = false;  // the filter answers with SIGSYS
};

// A race of tests/escape/programs/escape_race.c.
struct Race {
  const char* kind;
  std::string rules = {};          // "": the evil program is denied
  std::string fallback = "allow";  // of the rules
  std::function<void()> prepare = {};
  long share = 1;  // this part of the iterations: the slow ones
};

// Runs one case and prints its line of the table:
//   escape|ROW|NAME|LANE|VERDICT|WITHOUT CELLRUN|FIGURES|WHAT
class Escape : public Sandbox, public testing::WithParamInterface<Case> {
 public:
  using Sandbox::Bare;
  using Sandbox::BrokerPid;
  using Sandbox::Cellrun;
  using Sandbox::CellrunCommand;
  using Sandbox::Exists;
  using Sandbox::History;
  using Sandbox::Home;
  using Sandbox::IsRootLane;
  using Sandbox::MayLeaveSockets;
  using Sandbox::OpenProfile;
  using Sandbox::Path;
  using Sandbox::Prefix;
  using Sandbox::ProbeFlags;
  using Sandbox::Read;
  using Sandbox::Run;
  using Sandbox::RunArguments;
  using Sandbox::RuntimeDirectory;
  using Sandbox::Shell;
  using Sandbox::Start;
  using Sandbox::StartBroker;
  using Sandbox::Work;
  using Sandbox::Write;
  using Sandbox::WriteProfile;

  // Bare, then in a cell. Fails the case when the attack does not succeed bare, was not really
  // tried, or succeeds in the cell.
  void Try(const Attack& attack);
  void Try(const Race& race);

  // How often a race is tried: CELLRUN_RACES, else 1000.
  static long Iterations();

  // For cases that are their own script.
  void ShownBare(Shown how);                       // for the table
  void MustWin(bool won, const std::string& why);  // the bare run
  // Runs a race bare until it is won: on a busy machine the two sides seldom run at once.
  void MustWinOnce(const Words& argv, const std::function<bool()>& won);
  void MustHold(bool won, const std::string& why);  // the run in the cell
  void Count(long wins, long tries);
  void Note(const std::string& figures);  // for the table

  // Programs of tests/escape/programs, readable in every cell.
  static std::string Program(const std::string& name);
  // Copies a program into the workspace; `tail` is appended.
  std::string CopyProgram(const std::string& name, const std::string& to,
                          const std::string& tail = "");
  // A profile with these rules ("    - {…}\n" each) over base.
  std::string Judged(const std::string& rules, const std::string& fallback = "allow");
  std::string WithFilesystem(const std::string& lines);
  static std::string Deny(const std::string& program, const std::string& more = "");
  static std::string Allow(const std::string& program, const std::string& more = "");
  Options Using(const std::string& profile);
  // An empty workspace.
  void Reset();
  // How many bytes the files ran.PREFIX… below a directory have together: one for each run of
  // `mark`.
  [[nodiscard]] long Marks(const std::string& prefix) const;
  // "3 runs" when something evil has run.
  [[nodiscard]] std::string EvilRan() const;
  // A command without cellrun that has written `ready` and goes on.
  Process Outside(const Words& argv, const std::string& ready);
  // Everything below a directory: names, kinds, modes, owners, contents, and when they were
  // written.
  static std::set<std::string> Inventory(const std::string& directory);
  static bool IsAlive(pid_t pid);
  // Waits up to a second: a signal takes a while to act.
  static bool Ends(pid_t pid);

 protected:
  void TearDown() override;

 private:
  Outcome RunBare(const Attack& attack);
  bool Won(const Attack& attack, const Outcome& outcome, const char* where);
  Options CellOptions(const Attack& attack);

  bool broken_ = false;
  std::string bare_ = "succeeds", figures_;
};

std::string CaseName(const testing::TestParamInfo<Case>& info);

// One suite a file: TEST_P plays the rows of `cases`.
#define ESCAPE_SUITE(suite, cases) \
  class suite : public Escape {};  \
  TEST_P(suite, Holds) {           \
    GetParam().play(*this);        \
  }                                \
  INSTANTIATE_TEST_SUITE_P(escape, suite, testing::ValuesIn(cases), CaseName)

}  // namespace cellrun::test
