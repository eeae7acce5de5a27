// SPDX-License-Identifier: Apache-2.0
#include "broker/net/inbound/published.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "lib/policy/value_type.h"
#include "lib/sys/internet.h"

namespace cellrun::net {
namespace {

std::vector<policy::Placed<policy::PublishedPort>> Ports(const std::vector<std::string>& texts) {
  std::vector<policy::Placed<policy::PublishedPort>> ports;
  for (const std::string& text : texts)
    ports.push_back({.value = policy::PublishedValue(text), .at = {}});
  return ports;
}

// A port that was free a moment ago.
std::string FreePort() {
  const UniqueFd probe = std::move(*sys::InternetSocket(AF_INET, SOCK_STREAM));
  const SocketAddress any = SocketAddressOf({.address = Ipv4(INADDR_LOOPBACK), .port = 0});
  EXPECT_TRUE(sys::BindInternet(probe, any.get(), any.size).ok());
  const sockaddr_storage bound = *sys::LocalAddress(probe);
  return std::to_string(EndpointOf({reinterpret_cast<const char*>(&bound), sizeof bound})->port);
}

TEST(PublishedTest, ListensOnTheLoopbackUnlessAnAddressIsWritten) {
  const std::string port = FreePort();
  const auto published = Publish(Ports({port}));
  ASSERT_TRUE(published.ok());
  EXPECT_EQ(published->front().mapping.OuterText(), "127.0.0.1:" + port);
  EXPECT_FALSE(published->front().mapping.moved);
  const auto other = Publish(Ports({"127.0.0.2:" + port + ":80"}));
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->front().mapping.OuterText(), "127.0.0.2:" + port);
  EXPECT_EQ(other->front().mapping.inner, 80);
}

TEST(PublishedTest, TakesAnotherPortOnlyWhereNoneIsWritten) {
  const std::string port = FreePort();
  const auto first = Publish(Ports({port}));
  ASSERT_TRUE(first.ok());
  const auto second = Publish(Ports({port}));
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(second->front().mapping.moved);
  EXPECT_NE(second->front().mapping.outer.port, first->front().mapping.outer.port);
  EXPECT_EQ(second->front().mapping.inner, first->front().mapping.inner);
  const auto exact = Publish(Ports({port + ":80"}));
  ASSERT_FALSE(exact.ok());
  EXPECT_EQ(exact.error().code(), EADDRINUSE);
  EXPECT_EQ(exact.error().context(), "127.0.0.1:" + port);
}

TEST(PublishedTest, OneConflictPublishesNothing) {
  const std::string port = FreePort(), other = FreePort();
  const auto held = Publish(Ports({port}));
  ASSERT_TRUE(held.ok());
  EXPECT_FALSE(Publish(Ports({other, port + ":80"})).ok());
  const auto now = Publish(Ports({other + ":80"}));
  EXPECT_TRUE(now.ok()) << "the first one was left listening";
}

TEST(PublishedTest, TheSamePortTwiceIsOne) {
  const std::string port = FreePort();
  const auto published = Publish(Ports({port, port}));
  ASSERT_TRUE(published.ok());
  EXPECT_EQ(published->size(), 1U);
}

TEST(PublishedTest, RefusesAnAddressOfAnotherMachine) {
  const auto published = Publish(Ports({"192.0.2.1:8080:80"}));
  ASSERT_FALSE(published.ok());
  EXPECT_EQ(published.error().code(), EADDRNOTAVAIL);
}

TEST(PublishedTest, FormsGoBothWays) {
  for (const char* text : {"3000", "8080:80", "127.0.0.2:1:2", "[::1]:8080:80"})
    EXPECT_EQ(policy::PublishedText(policy::PublishedValue(text)), text);
}

}  // namespace
}  // namespace cellrun::net
