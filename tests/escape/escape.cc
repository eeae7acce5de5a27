// SPDX-License-Identifier: Apache-2.0
#include "tests/escape/escape.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "lib/base/text.h"

namespace cellrun::test {
namespace {

namespace fs = std::filesystem;

// tests/escape/programs/attack.h
constexpr int kWon = 10, kHeld = 11;

constexpr struct {
  Shown how;
  const char* name;
} kBareNames[] = {
    {Shown::kSucceeds, "succeeds"},
    {Shown::kInNamespaces, "succeeds in namespaces of its own"},
    {Shown::kAsRoot, "succeeds for root"},
    {Shown::kAimsAtCell, "aims at the cell"},
    {Shown::kNoTarget, "nothing there in this kernel"},
    {Shown::kWouldHarm, "would hit everybody"},
};
bool IsShown(Shown how) {
  return how == Shown::kSucceeds || how == Shown::kInNamespaces ||
         (how == Shown::kAsRoot && geteuid() == 0);
}

// `mark` leaves a byte for each run; what touch(1) leaves is empty.
long SizeOf(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 ? static_cast<long>(status.st_size) : 0;
}

// "12 of 13" of what an attack said about its ways.
std::string WaysOf(const Outcome& outcome) {
  const auto at = outcome.out.rfind("won: ");
  if (at == std::string::npos) return "";
  const std::string line = outcome.out.substr(at + 5, outcome.out.find('\n', at) - at - 5);
  return line.find(" of ") == std::string::npos ? "" : " (" + text::EscapeShort(line, 40) + ")";
}

std::string JoinFigures(const std::string& a, const std::string& b) {
  return a.empty() ? b : a + ", " + b;
}

}  // namespace

void PrintTo(const Case& one, std::ostream* stream) {
  *stream << one.row << " " << one.name;
}
std::string CaseName(const testing::TestParamInfo<Case>& info) {
  return std::string(info.param.row) + "_" + info.param.name;
}

long Escape::Iterations() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing in a test changes the environment
  const char* given = getenv("CELLRUN_RACES");
  const long number = given == nullptr ? 0 : strtol(given, nullptr, 10);
  return number > 0 ? number : 1000;
}

std::string Escape::Program(const std::string& name) {
  const std::string probe = Probe();
  return probe.substr(0, probe.rfind('/') + 1) + name;
}

std::string Escape::CopyProgram(const std::string& name, const std::string& to,
                                const std::string& tail) {
  return Write(Work(to), Read(Program(name)) + tail, 0755);
}

std::string Escape::Judged(const std::string& rules, const std::string& fallback) {
  return WriteProfile("cellrun: 1\nname: judged\nextends: [base]\ncommands:\n  default: " +
                      fallback + "\n  rules:\n" + (rules.empty() ? "    []\n" : rules));
}
std::string Escape::WithFilesystem(const std::string& lines) {
  return WriteProfile(
      "cellrun: 1\nname: files\nextends: [base]\ncommands: {default: allow}\nfilesystem:\n" +
      lines);
}
std::string Escape::Deny(const std::string& program, const std::string& more) {
  return "    - {when: {exe: '" + program + "'" + more + "}, then: deny}\n";
}
std::string Escape::Allow(const std::string& program, const std::string& more) {
  return "    - {when: {exe: '" + program + "'" + more + "}, then: allow}\n";
}
Options Escape::Using(const std::string& profile) {
  return {.profile = profile.empty() ? OpenProfile() : profile, .flags = ProbeFlags()};
}

void Escape::Reset() {
  for (const auto& entry : fs::directory_iterator(Work())) {
    std::error_code error;
    fs::remove_all(entry.path(), error);
    EXPECT_FALSE(error) << entry.path() << ": " << error.message();
  }
}

long Escape::Marks(const std::string& prefix) const {
  long marks = 0;
  for (const auto& entry : fs::recursive_directory_iterator(Work())) {
    if (entry.path().filename().string().starts_with("ran." + prefix) ||
        entry.path().parent_path().filename().string().starts_with(prefix + "-place")) {
      marks += std::max(1L, SizeOf(entry.path()));
    }
  }
  return marks;
}
std::string Escape::EvilRan() const {
  const long marks = Marks("evil");
  return marks == 0 ? "" : std::to_string(marks) + " runs of what was denied";
}

Process Escape::Outside(const Words& argv, const std::string& ready) {
  Options options;
  options.hold_input = true;
  options.time_limit = std::chrono::seconds(100);
  Command command = CellrunCommand({}, options);
  command.argv = argv;
  Process process(std::move(command));
  EXPECT_TRUE(process.WaitForOutput(ready)) << process.out() << process.err();
  return process;
}

std::set<std::string> Escape::Inventory(const std::string& directory) {
  std::set<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    struct stat status {};
    EXPECT_EQ(lstat(entry.path().c_str(), &status), 0) << entry.path();
    std::string line = entry.path().string();
    for (const auto number :
         {static_cast<long>(status.st_mode), static_cast<long>(status.st_uid),
          static_cast<long>(status.st_gid), static_cast<long>(status.st_ino),
          static_cast<long>(status.st_nlink), static_cast<long>(status.st_mtim.tv_nsec)}) {
      line += " " + std::to_string(number);
    }
    if (S_ISREG(status.st_mode)) line += " " + Read(entry.path().string());
    if (S_ISLNK(status.st_mode)) line += " " + fs::read_symlink(entry.path()).string();
    found.insert(line);
  }
  return found;
}

bool Escape::IsAlive(pid_t pid) {
  const std::string stat = Read("/proc/" + std::to_string(pid) + "/stat");
  const auto end = stat.rfind(')');
  return end != std::string::npos && stat.compare(end, 3, ") Z") != 0;
}

bool Escape::Ends(pid_t pid) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while (IsAlive(pid) && std::chrono::steady_clock::now() < deadline) usleep(2000);
  return !IsAlive(pid);
}

void Escape::ShownBare(Shown how) {
  for (const auto& row : kBareNames) {
    if (row.how == how) bare_ = row.name;
  }
}
void Escape::MustWin(bool won, const std::string& why) {
  EXPECT_TRUE(won) << "without cellrun the attack fails, so that it proves nothing: " << why;
}
void Escape::MustWinOnce(const Words& argv, const std::function<bool()>& won) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(45);
  std::string said;
  bool done = false;
  while (!done && std::chrono::steady_clock::now() < deadline) {
    const Outcome outcome = Sandbox::Bare(argv);
    EXPECT_EQ(outcome.status, 0) << outcome;
    said = outcome.out;
    done = won();
  }
  MustWin(done, said);
}
void Escape::MustHold(bool won, const std::string& why) {
  broken_ = broken_ || won;
  EXPECT_FALSE(won) << "the attack succeeds in the cell: " << why;
}
void Escape::Count(long wins, long tries) {
  figures_ = JoinFigures(figures_, std::to_string(wins) + " wins of " + std::to_string(tries));
}

void Escape::Note(const std::string& figures) {
  figures_ = JoinFigures(figures_, figures);
}

Outcome Escape::RunBare(const Attack& attack) {
  Options options = attack.options;
  Words argv = attack.argv;
  if (attack.bare == Shown::kInNamespaces) {
    const Words enter = {"unshare", "--user", "--map-root-user", "--mount", "--ipc", "--uts", "--"};
    argv.insert(argv.begin(), enter.begin(), enter.end());
  }
  return Sandbox::Bare(argv, options);
}

Options Escape::CellOptions(const Attack& attack) {
  Options options = attack.options;
  options.profile = attack.profile.empty() ? OpenProfile() : attack.profile;
  const Words readable = ProbeFlags();
  options.flags.insert(options.flags.end(), readable.begin(), readable.end());
  return options;
}

bool Escape::Won(const Attack& attack, const Outcome& outcome, const char* where) {
  const bool killed = attack.may_be_killed && outcome.status == 128 + SIGSYS;
  EXPECT_TRUE(outcome.status == kWon || outcome.status == kHeld || killed)
      << where << ": the attack was not carried out: " << outcome;
  const std::string damage = attack.damage ? attack.damage() : "";
  return outcome.status == kWon || !damage.empty();
}

void Escape::Try(const Attack& attack) {
  ShownBare(attack.bare);
  if (IsShown(attack.bare)) {
    Reset();
    if (attack.prepare) attack.prepare();
    const Outcome outcome = RunBare(attack);
    const bool won = Won(attack, outcome, "without cellrun");
    const bool seen = !attack.damage || !attack.damage().empty();
    std::ostringstream told;
    told << outcome;
    MustWin(won && seen, told.str());
    bare_ += WaysOf(outcome);
    if (HasFailure()) return;
  }
  Reset();
  if (attack.prepare) attack.prepare();
  const Outcome outcome = Run(attack.argv, CellOptions(attack));
  const bool won = Won(attack, outcome, "in a cell");
  std::ostringstream told;
  told << outcome << (attack.damage ? attack.damage() : "");
  MustHold(won, told.str());
}

void Escape::Try(const Race& race) {
  constexpr long kBareTries = 300;
  const long tries = std::max(10L, Iterations() / race.share);
  const auto prepare = [&] {
    Reset();
    CopyProgram("mark", "good", "good");
    CopyProgram("mark", "evil", "evil");
    if (race.prepare) race.prepare();
  };
  const auto argv = [&](long count) {
    return Words{Program("escape_race"), race.kind, std::to_string(count)};
  };
  prepare();
  MustWinOnce(argv(kBareTries), [this] { return Marks("evil") > 0; });
  figures_ = std::to_string(Marks("evil")) + " of " +
             std::to_string(Marks("evil") + Marks("good")) + " runs bare";

  prepare();
  Options options = Using(Judged(
      race.rules.empty() ? "    - {when: {exe: '" + Work("evil") + "'}, then: deny, errno: EPERM}\n"
                         : race.rules,
      race.fallback));
  // A try costs a millisecond or so; a busy machine may need many times that.
  options.time_limit = std::chrono::seconds(60 + tries / 10);
  const Outcome cell = Run(argv(tries), options);
  EXPECT_EQ(cell.status, 0) << cell;
  EXPECT_GT(Marks("good"), 0) << "nothing could run at all: " << cell;
  EXPECT_LT(Marks("good"), tries) << "the two never met: " << cell;
  Count(Marks("evil"), tries);
  Note(std::to_string(tries - Marks("good")) + " met");
  std::ostringstream told;
  told << cell;
  MustHold(Marks("evil") > 0, told.str());
}

void Escape::TearDown() {
  Sandbox::TearDown();
  const char* verdict = "held";
  if (HasFailure()) verdict = broken_ ? "BROKEN" : "FAILED";
  if (IsSkipped()) verdict = "not run";
  const Case& one = GetParam();
  printf("escape|%s|%s|%s|%s|%s|%s|%s\n", one.row, one.name, IsRootLane() ? "root" : "user",
         verdict, bare_.c_str(), figures_.c_str(), one.what);
}

}  // namespace cellrun::test
