// SPDX-License-Identifier: Apache-2.0
#include "launcher/cell/cell.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "lib/sys/file.h"
#include "lib/sys/landlock.h"
#include "lib/sys/process.h"
#include "lib/sys/socket.h"
#include "lib/sys/thread.h"
#include "lib/wire/control.h"
#include "tests/support/required.h"

namespace cellrun::launcher {
namespace {

namespace fs = std::filesystem;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;
using wire::MountKind;
using wire::MountStep;

constexpr uid_t kUser = 64123;           // nobody's
constexpr uid_t kCellUser = 2080374799;  // of a cell that root runs
using Facts = std::map<std::string, std::string>;

enum class Lane { kByRoot, kByUser };

// A workspace with something to protect, and a plan by hand that has a step of every kind.
class CellTest : public testing::TestWithParam<Lane> {
 protected:
  void SetUp() override {
    REQUIRE_OR_SKIP(GetParam() == Lane::kByUser || geteuid() == 0, "root");
    char directory[] = "/tmp/cellrun-cell-test-XXXXXX";
    ASSERT_NE(mkdtemp(&directory[0]), nullptr);
    scratch_ = &directory[0];
    fs::permissions(scratch_, fs::perms(0755));
    project_ = scratch_ / "project";
    for (const char* name : {"pinned", "hidden", "parent/inner"})
      fs::create_directories(project_ / name);
    std::ofstream(project_ / "secret") << "secret\n";
    std::ofstream(project_ / "hidden" / "key") << "secret\n";
    std::ofstream(project_ / "mine") << "mine\n";
    fs::create_symlink("/etc/hostname-of-nobody", project_ / "outside-link");
    if (geteuid() == 0) {
      for (const auto& entry : fs::recursive_directory_iterator(project_)) {
        ASSERT_EQ(lchown(entry.path().c_str(), kUser, kUser), 0);
      }
      ASSERT_EQ(lchown(project_.c_str(), kUser, kUser), 0);
    }
    MakePlan();
  }
  void TearDown() override {
    if (!scratch_.empty()) fs::remove_all(scratch_);
  }

  MountStep& Add(MountKind kind, const std::string& to) {
    MountStep& step = plan_.mounts.emplace_back();
    step.kind = kind;
    step.to = to;
    step.purpose = to;
    return step;
  }
  void MakePlan() {
    const bool by_root = GetParam() == Lane::kByRoot;
    plan_.id = plan_.name = "test";
    plan_.hostname = "cell-of-test";
    const uid_t user = geteuid() == 0 ? kUser : geteuid();
    const gid_t group = geteuid() == 0 ? kUser : getegid();
    plan_.inside_uid = by_root ? 1000 : user;
    plan_.inside_gid = by_root ? 1000 : group;
    plan_.host_uid = by_root ? kCellUser : user;
    plan_.host_gid = by_root ? kCellUser : group;
    for (const char* name : {"/usr", "/etc"}) {
      MountStep& step = Add(MountKind::kBind, name);
      step.from = name;
      step.read_only = true;
    }
    for (const char* name : {"bin", "lib", "lib64"})
      Add(MountKind::kSymlink, std::string("/") + name).text = std::string("usr/") + name;
    Add(MountKind::kProc, "/proc");
    for (const char* name : {"/dev/null", "/dev/tty"}) {
      MountStep& step = Add(MountKind::kBind, name);
      step.from = name;
      step.devices = true;
    }
    Add(MountKind::kDevpts, "/dev/pts");
    Add(MountKind::kSymlink, "/dev/ptmx").text = "pts/ptmx";
    for (const char* name : {"/tmp", "/run", "/home/user"}) {
      MountStep& step = Add(MountKind::kTmpfs, name);
      step.bytes = 8 << 20;
      step.mode = 0755;
    }
    Add(MountKind::kCellrun, "/run/cellrun");
    Add(MountKind::kFile, "/etc/passwd").text = "generated\n";
    Add(MountKind::kMask, "/etc/shadow");
    MountStep& project = Add(MountKind::kBind, "/project");
    project.from = project_;
    project.id_map = by_root;
    project.purpose = "workspace";
    Add(MountKind::kMask, "/project/secret");
    Add(MountKind::kMask, "/project/hidden");
    Add(MountKind::kMask, "/project/absent");
    Add(MountKind::kPin, "/project/parent");
    Add(MountKind::kPin, "/project/pinned").read_only = true;
    plan_.landlock = {{"/usr", true, false},    {"/run/cellrun", true, false},
                      {"/project", true, true}, {"/tmp", false, true},
                      {"/dev", false, true},    {"/run", false, true}};
    plan_.limits = {{.resource = RLIMIT_CORE, .soft = 0, .hard = 0, .name = "core"}};
  }

  // Runs `body` in a process of the lane's user and returns what it wrote to the descriptor that it
  // is given.
  template <typename Body>
  std::string InLane(Body body) {
    Result<sys::Pipe> answers = sys::Pipe2(O_CLOEXEC);
    EXPECT_TRUE(answers.ok());
    const pid_t child = fork();
    if (child == 0) {
      if (geteuid() == 0 && GetParam() == Lane::kByUser) {
        CHECK(sys::SetIds(kUser, kUser).ok());
        CHECK(sys::SetDumpable(true).ok());  // else /proc/self/uid_map is root's
      }
      body(answers->write);
      _exit(0);
    }
    answers->write.Reset();
    Result<std::string> all = sys::ReadWholeFile(answers->read, 1 << 20);
    EXPECT_TRUE(all.ok());
    waitpid(child, nullptr, 0);
    return std::move(all).value_or("");
  }
  // Builds the cell and collects what the probe says; "error" and "cause" where it failed.
  Facts Build(const fs::path& init = CELLRUN_PROBE_INIT) {
    const UniqueFd shim(open(init.c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_TRUE(shim.valid());
    const std::string all = InLane([&](const UniqueFd& answers) { BuildHere(shim, answers); });
    Facts facts;
    std::istringstream lines(all);
    for (std::string line; std::getline(lines, line);)
      facts[line.substr(0, line.find('='))] = line.substr(line.find('=') + 1);
    return facts;
  }
  void BuildHere(const UniqueFd& shim, const UniqueFd& answers) {
    const auto say = [&](const std::string& line) {
      CHECK(sys::WriteAll(answers, line + "\n").ok());
    };
    Result<std::pair<UniqueFd, UniqueFd>> control = sys::SocketPair(SOCK_SEQPACKET);
    CHECK(control.ok());
    Outcome<StartedCell> cell = StartCell(control->second, shim);
    control->second.Reset();
    if (const ErrorForm* failed = std::get_if<ErrorForm>(&cell))
      return say("error=" + failed->what + "\ncause=" + failed->cause);
    sys::Message plan;
    plan.bytes = wire::EncodePlan(plan_);
    CHECK(ForwardPlan(std::get<StartedCell>(cell), plan).ok());
    const std::optional<ErrorForm> refused = GivePlan(std::get<StartedCell>(cell), plan_);
    if (refused) return say("error=" + refused->what + "\ncause=" + refused->cause);
    const Outcome<std::vector<std::string>> finished =
        FinishCell(plan_, std::get<StartedCell>(cell));
    if (const ErrorForm* failed = std::get_if<ErrorForm>(&finished))
      return say("error=" + failed->what + "\ncause=" + failed->cause);
    for (const std::string& note : std::get<0>(finished)) say("note=" + note);
    for (;;) {
      Result<sys::Message> message = sys::ReceiveMessage(control->first, 64 * 1024);
      if (!message.ok() || message->bytes.empty()) break;
      wire::ControlHeader header{};
      memcpy(&header, message->bytes.data(), std::min(sizeof header, message->bytes.size()));
      if (header.type == wire::kCellBuilt && message->fds.size() == 8) {
        SayDescriptors(message->fds, say);
      } else {
        say(message->bytes);
      }
    }
    const Result<int> status = std::get<StartedCell>(cell).init.Wait();
    say("status=" + std::to_string(status.ok() ? *status : -1));
  }
  template <typename Say>
  static void SayDescriptors(const std::vector<UniqueFd>& fds, Say say) {
    const Result<struct statvfs> shim = sys::Fstatvfs(fds[0]);
    const Result<struct stat> facts = sys::Fstat(fds[0]);
    CHECK(shim.ok() && facts.ok());
    say(std::string("shim mount=") + ((shim->f_flag & ST_RDONLY) != 0 ? "ro" : "rw"));
    char mode[8] = {};
    snprintf(&mode[0], sizeof mode, "%04o", facts->st_mode & 07777);
    say(std::string("shim mode=") + &mode[0]);
    say("shim owner=" + std::to_string(facts->st_uid) + ":" + std::to_string(facts->st_gid));
    say(std::string("denials=") + (sys::WriteAll(fds[1], "{}\n").ok() ? "ok" : "failed"));
    const sys::FileIdentity as_the_cell(facts->st_uid, facts->st_gid);
    say(std::string("scripts=") +
        (sys::OpenAt(fds[4].get(), "x", O_CREAT | O_WRONLY, 0444).ok() ? "ok" : "failed"));
  }

  fs::path scratch_, project_;
  wire::CellPlan plan_;
};

std::string LaneName(const testing::TestParamInfo<Lane>& lane) {
  return lane.param == Lane::kByRoot ? "Root" : "User";
}
INSTANTIATE_TEST_SUITE_P(Lanes, CellTest, testing::Values(Lane::kByRoot, Lane::kByUser), LaneName);

TEST_P(CellTest, RunsInitWithoutAnyRight) {
  Facts facts = Build();
  ASSERT_EQ(facts["error"], "") << facts["cause"];
  EXPECT_EQ(facts["status"], "0");
  EXPECT_EQ(facts["argv"], "init");
  EXPECT_EQ(facts["environment"], "empty");
  const std::string uid = std::to_string(plan_.inside_uid);
  EXPECT_EQ(facts["Uid"], uid + "\t" + uid + "\t" + uid + "\t" + uid);
  EXPECT_EQ(facts["Gid"], facts["Uid"]);
  EXPECT_THAT(facts["Groups"], testing::AnyOf("", " ", testing::MatchesRegex("[0-9 ]*")));
  for (const char* set : {"CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"})
    EXPECT_EQ(facts[set], "0000000000000000") << set;
  EXPECT_EQ(facts["NoNewPrivs"], "1");
  EXPECT_EQ(facts["pid"], "1 0 1") << "PID 1, no parent in sight, leader of its own session";
  EXPECT_EQ(facts["fds"], "0 1 2 3");
  EXPECT_EQ(facts["core"], "0");
  EXPECT_EQ(facts["oom_score_adj"], "500");
}

TEST_P(CellTest, ShowsNothingOfTheHostButThePlan) {
  Facts facts = Build();
  ASSERT_EQ(facts["error"], "") << facts["cause"];
  EXPECT_EQ(facts["ls /"], "bin dev etc home lib lib64 proc project run tmp usr");
  EXPECT_EQ(facts["ls /home"], "user");
  EXPECT_EQ(facts["ls /root"], "ENOENT");
  EXPECT_EQ(facts["ls /sys"], "ENOENT");
  EXPECT_EQ(facts["ls /run"], "cellrun");
  EXPECT_EQ(facts["ls /tmp"], "program") << "only what the probe itself made";
  EXPECT_EQ(facts["ls /run/cellrun"], "broker.sock denials.jsonl script shim tools");
  EXPECT_EQ(facts["ls /dev/pts"], "ptmx");
  EXPECT_EQ(facts["pty"], "/dev/pts/0");
  EXPECT_THAT(facts["ls /proc"], StartsWith("1 "));
  EXPECT_EQ(facts["hostname"], "cell-of-test");
  EXPECT_EQ(facts["lo"], "up");
  EXPECT_EQ(facts["tty"], "ENXIO") << "no controlling terminal";
  EXPECT_EQ(facts["max_user_namespaces"], "0");
  char name[256] = {};
  gethostname(&name[0], sizeof name - 1);
  EXPECT_STRNE(&name[0], "cell-of-test");
}

TEST_P(CellTest, LetsOnlyTheGrantedPlacesBeWritten) {
  Facts facts = Build();
  ASSERT_EQ(facts["error"], "") << facts["cause"];
  EXPECT_EQ(facts["create /"], "EROFS");
  EXPECT_EQ(facts["create /usr"], "EROFS");
  EXPECT_EQ(facts["create /etc"], "EROFS");
  EXPECT_EQ(facts["create /run/cellrun"], "EROFS");
  EXPECT_EQ(facts["create /run/cellrun/tools"], "EROFS");
  EXPECT_EQ(facts["create /project/pinned"], "EROFS");
  EXPECT_EQ(facts["create /tmp"], "ok");
  EXPECT_EQ(facts["create /project"], "ok");
  // On the host the new file belongs to whoever owns the workspace.
  struct stat made {};
  ASSERT_EQ(stat((project_ / "new-file").c_str(), &made), 0);
  EXPECT_EQ(made.st_uid, geteuid() == 0 ? kUser : geteuid());
  EXPECT_FALSE(fs::exists("/tmp/new-file"));
}

TEST_P(CellTest, MasksAndPinsWhatThePlanSays) {
  Facts facts = Build();
  ASSERT_EQ(facts["error"], "") << facts["cause"];
  EXPECT_EQ(facts["hidden file"], "");
  EXPECT_EQ(facts["hidden directory"], "");
  EXPECT_EQ(facts["rename parent"], "EBUSY");
  EXPECT_EQ(facts["generated"], "generated");
  EXPECT_EQ(facts["mapped file"], "mine");
  EXPECT_EQ(facts["owner"], std::to_string(plan_.inside_uid));
  EXPECT_FALSE(fs::exists(project_ / "absent")) << "nothing is made on the host to hide it";
}

TEST_P(CellTest, HandsOutTheShimThroughItsReadOnlyMount) {
  Facts facts = Build();
  ASSERT_EQ(facts["error"], "") << facts["cause"];
  EXPECT_EQ(facts["shim mount"], "ro");
  EXPECT_EQ(facts["shim mode"], "0111");
  EXPECT_EQ(facts["shim owner"],
            std::to_string(plan_.host_uid) + ":" + std::to_string(plan_.host_gid));
  EXPECT_EQ(facts["denials"], "ok");
  EXPECT_EQ(facts["scripts"], "ok");
}

TEST_P(CellTest, LandlockBoundsExecutionAndWritesToProc) {
  REQUIRE_OR_SKIP(sys::LandlockAbi() > 0, "Landlock");
  Facts facts = Build();
  ASSERT_EQ(facts["error"], "") << facts["cause"];
  EXPECT_EQ(facts["exec usr"], "ok");
  EXPECT_EQ(facts["exec tmp"], "EACCES");
  EXPECT_EQ(facts["mem write"], "EACCES");
  plan_.landlock.clear();
  facts = Build();
  EXPECT_EQ(facts["exec tmp"], "ok") << "without Landlock it runs: the check above can fail";
}

TEST_P(CellTest, NamesTheStepAndTheSourceThatFail) {
  plan_.mounts.emplace_back(MountStep{.kind = MountKind::kBind,
                                      .to = "/x",
                                      .from = "/does/not/exist",
                                      .text = "",
                                      .purpose = "--read"});
  Facts facts = Build();
  EXPECT_EQ(facts["error"],
            "open mount source --read /does/not/exist: open_tree: No such file or directory");
  plan_.mounts.back().optional = true;
  facts = Build();
  EXPECT_EQ(facts["error"], "");
  EXPECT_THAT(facts["ls /"], Not(HasSubstr("x")));
}

TEST_P(CellTest, NamesAShimThatCannotStart) {
  std::ofstream(scratch_ / "no-program") << "not an image\n";
  fs::permissions(scratch_ / "no-program", fs::perms(0755));
  Facts facts = Build(scratch_ / "no-program");
  EXPECT_THAT(facts["error"], StartsWith("start init: execve: "));
}

TEST_P(CellTest, RefusesAPlanForAnotherUser) {
  plan_.host_uid = GetParam() == Lane::kByRoot ? 0 : 1;
  Facts facts = Build();
  EXPECT_THAT(facts["error"], HasSubstr("wrong user"));
}

TEST_P(CellTest, EndsWhenTheLauncherDropsIt) {
  const UniqueFd shim(open(CELLRUN_PROBE_INIT, O_RDONLY | O_CLOEXEC));
  const std::string seen = InLane([&](const UniqueFd& answers) {
    const auto say = [&](const std::string& line) {
      CHECK(sys::WriteAll(answers, line + "\n").ok());
    };
    const auto mounts_before = fs::file_size("/proc/self/mountinfo");
    Result<std::pair<UniqueFd, UniqueFd>> control = sys::SocketPair(SOCK_SEQPACKET);
    CHECK(control.ok());
    pid_t init = -1;
    {
      Outcome<StartedCell> cell = StartCell(control->second, shim);
      if (const ErrorForm* failed = std::get_if<ErrorForm>(&cell)) return say(failed->what);
      init = std::get<StartedCell>(cell).init.pid();
      say(kill(init, 0) == 0 ? "alive" : "never lived");
    }
    say(kill(init, 0) == -1 ? "gone" : "left behind");
    say(fs::file_size("/proc/self/mountinfo") == mounts_before ? "no mount" : "a mount");
  });
  EXPECT_EQ(seen, "alive\ngone\nno mount\n");
}

}  // namespace
}  // namespace cellrun::launcher
