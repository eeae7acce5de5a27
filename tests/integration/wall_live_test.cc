// SPDX-License-Identifier: Apache-2.0
// The second wall around a cgroup that somebody else made, as a container engine would.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <set>
#include <thread>

#include "broker/net/wall/cgroup.h"
#include "broker/net/wall/wall.h"
#include "lib/sys/file.h"
#include "lib/sys/network.h"
#include "lib/sys/process.h"
#include "lib/sys/socket.h"
#include "tests/support/required.h"

namespace cellrun::net {
namespace {

constexpr std::uint32_t kInside = 0xC612'0009;  // 198.18.0.9
constexpr std::uint32_t kRange = 0xC612'0000;
constexpr int kRangePrefix = 15;

class Records : public journal::Sink {
 public:
  std::uint64_t Append(journal::Record record) override {
    kept.push_back(std::move(record));
    return kept.size();
  }
  void SetResult(std::uint64_t /*seq*/, std::string /*result*/) override {}
  [[nodiscard]] bool Healthy() const override { return true; }
  std::vector<journal::Record> kept;
};

int ConnectDatagrams(std::uint32_t address) {
  const UniqueFd made(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!made.valid()) return errno;
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(9);
  to.sin_addr.s_addr = htonl(address);
  return connect(made.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 ? 0 : errno;
}

// A process in a network namespace of its own and in that cgroup, which connects when it is told.
class Inhabitant {
 public:
  explicit Inhabitant(const std::string& cgroup) {
    auto [ours, theirs] = sys::SocketPair(SOCK_SEQPACKET).value();
    pid_ = fork();
    if (pid_ == 0) Live(cgroup, theirs);
    orders_ = std::move(ours);
    EXPECT_EQ(read(orders_.get(), &network_, sizeof network_),
              static_cast<ssize_t>(sizeof network_));
  }
  ~Inhabitant() {
    (void)kill(pid_, SIGKILL);
    (void)waitpid(pid_, nullptr, 0);
  }
  Inhabitant(const Inhabitant&) = delete;
  Inhabitant& operator=(const Inhabitant&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] std::uint64_t network() const { return network_; }
  // How many of so many connects were refused by the wall.
  [[nodiscard]] int RefusedOf(int count) const {
    EXPECT_EQ(write(orders_.get(), &count, sizeof count), static_cast<ssize_t>(sizeof count));
    int refused = -1;
    EXPECT_EQ(read(orders_.get(), &refused, sizeof refused), static_cast<ssize_t>(sizeof refused));
    return refused;
  }

 private:
  [[noreturn]] static void Live(const std::string& cgroup, const UniqueFd& orders) {
    const bool placed = unshare(CLONE_NEWNET) == 0 &&
                        sys::WriteExistingFile((cgroup + "/cgroup.procs").c_str(), "0").ok();
    const Result<UniqueFd> own = sys::UnixSocket(SOCK_DGRAM);
    const std::uint64_t cookie = placed && own.ok() ? sys::NetworkCookie(*own).value_or(0) : 0;
    if (write(orders.get(), &cookie, sizeof cookie) < 0) _exit(1);
    for (int count = 0; read(orders.get(), &count, sizeof count) == sizeof count;) {
      int refused = 0;
      for (int i = 0; i < count; ++i) refused += ConnectDatagrams(kInside) == EPERM ? 1 : 0;
      if (write(orders.get(), &refused, sizeof refused) < 0) _exit(1);
    }
    _exit(0);
  }
  UniqueFd orders_;
  pid_t pid_ = -1;
  std::uint64_t network_ = 0;
};

class WallLiveTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) return;
    const Result<std::string> own = CgroupOf(getpid());
    REQUIRE_OR_SKIP(own.ok(), own.error().ToString());
    path_ = *own + "/test-" + std::to_string(getpid());
    ASSERT_TRUE(sys::MkdirAt(AT_FDCWD, path_.c_str(), 0755).ok());
    notes_ = std::filesystem::temp_directory_path() / ("notes-" + std::to_string(getpid()));
    wall_ = std::make_unique<Wall>(
        Wall::Services{.loop = loop_, .janitor = janitor_, .journal = records_, .notes = notes_});
    wall_->Prepare();
  }
  void TearDown() override {
    if (path_.empty()) return;
    wall_.reset();
    EXPECT_TRUE(sys::UnlinkAt(AT_FDCWD, path_.c_str(), AT_REMOVEDIR).ok()) << "it is not ours";
    EXPECT_FALSE(std::filesystem::exists(notes_)) << "and has no note";
  }
  [[nodiscard]] WallReach Reach(const Inhabitant& inhabitant, std::vector<Reach4> ranges) const {
    WallReach reach;
    reach.network = inhabitant.network();
    reach.host = sys::NetworkCookie(sys::UnixSocket(SOCK_DGRAM).value()).value();
    reach.ranges4 = std::move(ranges);
    return reach;
  }

  std::string path_, notes_;
  loop::Loop loop_;
  loop::Janitor janitor_;
  Records records_;
  std::unique_ptr<Wall> wall_;
};

TEST_F(WallLiveTest, AsRootItGuardsACgroupThatExists) {
  const Inhabitant inhabitant(path_);
  ASSERT_NE(inhabitant.network(), 0U);
  EXPECT_EQ(inhabitant.RefusedOf(1), 0) << "without the wall";
  {
    const auto enclosed = wall_->EncloseExisting(path_, "contained");
    ASSERT_TRUE(enclosed.ok()) << enclosed.error().ToString();
    Wall::Enclosure& enclosure = **enclosed;
    EXPECT_EQ(inhabitant.RefusedOf(1), 1) << "nothing passes before it is opened";
    EXPECT_EQ(enclosure.Open(getpid(), Reach(inhabitant, {})).error().code(), EPERM);
    EXPECT_EQ(inhabitant.RefusedOf(1), 1);
    ASSERT_TRUE(enclosure.Open(inhabitant.pid(), Reach(inhabitant, {{kRange, kRangePrefix}})).ok());
    EXPECT_EQ(inhabitant.RefusedOf(1), 0);
    EXPECT_EQ(enclosure.Loss(), "");
    // A broker without descriptors cannot look: that is no loss.
    rlimit files{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
    const rlimit none{.rlim_cur = 0, .rlim_max = files.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    const std::string loss = enclosure.Loss();
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
    EXPECT_EQ(loss, "");
    enclosure.Settle();
    ASSERT_EQ(records_.kept.size(), 2U);
    EXPECT_EQ(records_.kept[0].cell, "contained");
    EXPECT_EQ(enclosure.tally().refused, 2U);
  }
  EXPECT_TRUE(std::filesystem::exists(path_));
}

// An update is seen as a whole: what both reaches have is never refused, whatever else changes.
TEST_F(WallLiveTest, AsRootAnUpdateIsSeenAsAWhole) {
  constexpr int kConnects = 20'000;
  const Inhabitant inhabitant(path_);
  const auto enclosed = wall_->EncloseExisting(path_, "contained");
  ASSERT_TRUE(enclosed.ok()) << enclosed.error().ToString();
  const Reach4 names{kRange, kRangePrefix}, other{0x0A00'0000, 8};
  ASSERT_TRUE((*enclosed)->Open(inhabitant.pid(), Reach(inhabitant, {names})).ok());
  const auto while_exchanging = [&](const WallReach& one, const WallReach& another) {
    std::atomic<bool> stop = false;
    int refused = -1;
    std::thread connecting([&] {
      refused = inhabitant.RefusedOf(kConnects);
      stop = true;
    });
    int exchanges = 0;
    for (; !stop; ++exchanges)
      EXPECT_TRUE((*enclosed)->Replace(exchanges % 2 == 0 ? one : another).ok());
    connecting.join();
    EXPECT_GT(exchanges, 100);
    return refused;
  };
  EXPECT_EQ(while_exchanging(Reach(inhabitant, {names}), Reach(inhabitant, {other, other, names})),
            0);
  EXPECT_GT(while_exchanging(Reach(inhabitant, {names}), Reach(inhabitant, {other})), 0)
      << "the exchanges met the connects";
}

// A cgroup goes, and somebody else's takes its place: the path is the same, the number is not.
TEST_F(WallLiveTest, AsRootAPlaceThatIsTakenAgainInheritsNothing) {
  const auto number = [&] {
    return sys::Fstat(sys::OpenAt(AT_FDCWD, path_.c_str(), O_RDONLY | O_DIRECTORY).value())
        .value()
        .st_ino;
  };
  const auto take_again = [&] {
    const auto empty = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!sys::UnlinkAt(AT_FDCWD, path_.c_str(), AT_REMOVEDIR).ok())
      ASSERT_LT(std::chrono::steady_clock::now(), empty);
    ASSERT_TRUE(sys::MkdirAt(AT_FDCWD, path_.c_str(), 0755).ok());
  };
  const Reach4 names{kRange, kRangePrefix};
  const auto first_number = number();
  {
    std::unique_ptr<Wall::Enclosure> first;
    {
      const Inhabitant inhabitant(path_);
      auto enclosed = wall_->EncloseExisting(path_, "first");
      ASSERT_TRUE(enclosed.ok()) << enclosed.error().ToString();
      first = std::move(*enclosed);
      EXPECT_EQ(inhabitant.RefusedOf(1), 1);
      ASSERT_TRUE(first->Open(inhabitant.pid(), Reach(inhabitant, {names})).ok());
      EXPECT_EQ(inhabitant.RefusedOf(1), 0);
    }
    EXPECT_EQ(first->Loss(), "");
    take_again();
    const Inhabitant stranger(path_);
    EXPECT_EQ(stranger.RefusedOf(1), 0) << "whoever goes by the path guards nobody";
    // The kernel lets go of the hooks a moment later.
    const auto soon = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (first->Loss().empty() || first->Replace(Reach(stranger, {})).ok())
      ASSERT_LT(std::chrono::steady_clock::now(), soon) << "it is not noticed: " << first->Loss();
  }
  EXPECT_NE(number(), first_number);
  take_again();
  const Inhabitant inhabitant(path_);
  const auto second = wall_->EncloseExisting(path_, "second");
  ASSERT_TRUE(second.ok()) << second.error().ToString();
  EXPECT_EQ(inhabitant.RefusedOf(1), 1) << "what the first one might reach is not there";
  ASSERT_TRUE((*second)->Open(inhabitant.pid(), Reach(inhabitant, {})).ok());
  EXPECT_EQ(inhabitant.RefusedOf(3), 3);
  (*second)->Settle();
  EXPECT_EQ((*second)->tally().refused, 4U) << "nor is what it was refused";
  ASSERT_EQ(records_.kept.size(), 5U);
  EXPECT_EQ(records_.kept.front().cell, "first");
  for (std::size_t i = 1; i < records_.kept.size(); ++i)
    EXPECT_EQ(records_.kept[i].cell, "second") << i;
}

// The kernel numbers cgroups one after the other, with a generation above the 32 bits of an inode.
TEST_F(WallLiveTest, AsRootANumberDoesNotComeAgain) {
  constexpr int kCgroups = 2000;
  std::set<ino_t> numbers;
  for (int i = 0; i < kCgroups; ++i) {
    const std::string path = path_ + "/again";
    ASSERT_TRUE(sys::MkdirAt(AT_FDCWD, path.c_str(), 0755).ok());
    const Result<Cgroup> made = Cgroup::Open(path);
    ASSERT_TRUE(made.ok());
    EXPECT_TRUE(numbers.insert(made->id()).second) << made->id();
    ASSERT_TRUE(sys::UnlinkAt(AT_FDCWD, path.c_str(), AT_REMOVEDIR).ok());
  }
}

}  // namespace
}  // namespace cellrun::net
