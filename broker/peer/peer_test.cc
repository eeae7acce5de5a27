// SPDX-License-Identifier: Apache-2.0
#include "broker/peer/peer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>

#include "lib/sys/file.h"
#include "lib/sys/socket.h"
#include "tests/support/required.h"
#include "tests/support/result_matchers.h"

namespace cellrun::peer {
namespace {

using test::IsOk;
using ::testing::HasSubstr;

// Connects in a child that ran `prepare` in a process of its own, and asks the check about it.
Result<Peer> CheckChild(const std::function<bool()>& prepare, bool& prepared) {
  auto pair = sys::Pipe2(O_CLOEXEC).value();
  std::string pattern = ::testing::TempDir() + "/peer-XXXXXX";
  const std::string directory = mkdtemp(pattern.data());
  const UniqueFd listener = sys::UnixSocket(SOCK_STREAM).value();
  EXPECT_THAT(sys::BindUnix(listener, directory + "/s"), IsOk());
  EXPECT_THAT(sys::Listen(listener, 1), IsOk());
  EXPECT_EQ(chmod(directory.c_str(), 0755), 0);  // the child may be another user
  EXPECT_EQ(chmod((directory + "/s").c_str(), 0777), 0);
  const pid_t child = fork();
  if (child == 0) {
    if (!prepare()) _exit(1);
    const pid_t inner = fork();  // a pid namespace is entered by children
    if (inner == 0) {
      const UniqueFd socket = sys::UnixSocket(SOCK_STREAM).value();
      if (!sys::ConnectUnix(socket, directory + "/s").ok()) _exit(1);
      (void)!write(pair.write.get(), "x", 1);
      pause();
    }
    int status = 0;
    (void)waitpid(inner, &status, 0);
    _exit(WEXITSTATUS(status));
  }
  pair.write.Reset();
  char byte = 0;
  prepared = read(pair.read.get(), &byte, 1) == 1;
  Result<Peer> peer = Error(ENOTCONN, "test");
  if (prepared) {
    const UniqueFd connection = sys::Accept(listener, SOCK_CLOEXEC).value();
    peer = CheckPeer(connection);
    const ucred credentials = sys::PeerCredentials(connection).value();
    kill(credentials.pid, SIGKILL);
  }
  waitpid(child, nullptr, 0);
  std::filesystem::remove_all(directory);
  return peer;
}

TEST(CheckPeerTest, AcceptsAProcessOfOurs) {
  bool prepared = false;
  EXPECT_THAT(CheckChild([] { return true; }, prepared), IsOk());
}

TEST(CheckPeerTest, RefusesAProcessInAPidNamespaceBelow) {
  bool prepared = false;
  const int flags = geteuid() == 0 ? CLONE_NEWPID : CLONE_NEWUSER | CLONE_NEWPID;
  const auto peer = CheckChild([flags] { return unshare(flags) == 0; }, prepared);
  REQUIRE_OR_SKIP(prepared, "pid namespaces");
  ASSERT_THAT(peer, test::FailsWith(EPERM));
  EXPECT_THAT(peer.error().ToString(), HasSubstr("cell"));
}

TEST(CheckPeerTest, RefusesAnotherUser) {
  REQUIRE_OR_SKIP(geteuid() == 0, "root, to become somebody else");
  bool prepared = false;
  constexpr uid_t kNobody = 65534;
  const auto peer = CheckChild([=] { return setresuid(kNobody, kNobody, kNobody) == 0; }, prepared);
  ASSERT_TRUE(prepared);
  ASSERT_THAT(peer, test::FailsWith(EPERM));
  EXPECT_THAT(peer.error().ToString(), HasSubstr("another user"));
}

TEST(CheckPeerTest, RefusesAProcessThatHasEnded) {
  const UniqueFd listener = sys::UnixSocket(SOCK_STREAM).value();
  std::string pattern = ::testing::TempDir() + "/peer-XXXXXX";
  const std::string directory = mkdtemp(pattern.data());
  ASSERT_THAT(sys::BindUnix(listener, directory + "/s"), IsOk());
  ASSERT_THAT(sys::Listen(listener, 1), IsOk());
  const pid_t child = fork();
  if (child == 0) {
    const UniqueFd socket = sys::UnixSocket(SOCK_STREAM).value();
    _exit(sys::ConnectUnix(socket, directory + "/s").ok() ? 0 : 1);
  }
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  const UniqueFd connection = sys::Accept(listener, SOCK_CLOEXEC).value();
  EXPECT_FALSE(CheckPeer(connection).ok());
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace cellrun::peer
