// SPDX-License-Identifier: Apache-2.0
#include "tests/support/laboratory.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "lib/sys/file.h"
#include "lib/sys/network.h"
#include "lib/sys/process.h"
#include "lib/sys/route.h"

namespace cellrun::test {
namespace {

constexpr int kCable = 100;  // the index of both ends
constexpr int kPrefix = 24, kPrefix6 = 64;

template <std::size_t kBytes>
std::array<std::uint8_t, kBytes> Bytes(const char* text) {
  std::array<std::uint8_t, kBytes> bytes{};
  EXPECT_EQ(inet_pton(kBytes == 4 ? AF_INET : AF_INET6, text, bytes.data()), 1) << text;
  return bytes;
}

void Enter() {
  const std::string uid = std::to_string(geteuid()), gid = std::to_string(getegid());
  const bool root = uid == "0";
  Result<void> done = sys::Unshare(root ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET);
  const auto write = [&done](const char* path, const std::string& text) {
    if (done.ok()) done = sys::WriteExistingFile(path, text);
  };
  if (!root) {
    write("/proc/self/setgroups", "deny");
    write("/proc/self/uid_map", uid + " " + uid + " 1");
    write("/proc/self/gid_map", gid + " " + gid + " 1");
  }
  ASSERT_TRUE(done.ok()) << done.error().ToString();
}

UniqueFd CurrentNetwork() {
  return sys::OpenAt(AT_FDCWD, "/proc/thread-self/ns/net", O_RDONLY).value();
}

void Join(const sys::RouteSocket& routes, const char* own, const char* own6) {
  EXPECT_TRUE(routes.RaiseLink(kCable).ok());
  EXPECT_TRUE(routes.AddAddress(kCable, Bytes<4>(own), kPrefix).ok());
  EXPECT_TRUE(routes.AddAddress(kCable, Bytes<16>(own6), kPrefix6).ok());
}

}  // namespace

Laboratory::Laboratory() {
  Enter();
  std::optional<sys::RouteSocket> world;
  std::thread([this, &world] {
    EXPECT_TRUE(sys::Unshare(CLONE_NEWNET).ok());
    EXPECT_TRUE(sys::RaiseLoopback().ok());
    // IPv6 looks at addresses, not at routes, when a socket is bound.
    EXPECT_TRUE(sys::WriteExistingFile("/proc/sys/net/ipv6/ip_nonlocal_bind", "1").ok());
    world_ = CurrentNetwork();
    world = sys::RouteSocket::Open().value();
  }).join();
  EXPECT_TRUE(sys::RaiseLoopback().ok());
  const sys::RouteSocket host = sys::RouteSocket::Open().value();
  EXPECT_TRUE(
      host.AddVeth(
              {.name = "cable", .index = kCable, .peer_name = "cable", .peer_namespace = world_})
          .ok());
  Join(*world, kWorld, kWorld6);
  Join(host, kHost, kHost6);
  EXPECT_TRUE(world->OwnEverything(AF_INET).ok());
  EXPECT_TRUE(world->OwnEverything(AF_INET6).ok());
  EXPECT_TRUE(host.AddDefaultRoute(kCable, Bytes<4>(kWorld)).ok());
  EXPECT_TRUE(host.AddDefaultRoute(kCable, Bytes<16>(kWorld6)).ok());
  capture_.emplace(std::vector<std::string>{"cable", "lo"});
}

void Laboratory::InWorld(const std::function<void()>& make) const {
  std::thread([&] {
    const Result<void> entered = sys::SetNamespace(world_, CLONE_NEWNET);
    ASSERT_TRUE(entered.ok()) << entered.error().ToString();
    make();
  }).join();
}

}  // namespace cellrun::test
