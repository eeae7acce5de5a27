// SPDX-License-Identifier: Apache-2.0
#include "broker/net/upstream/servers.h"

#include <gtest/gtest.h>

namespace cellrun::net {
namespace {

std::string Text(const std::vector<Endpoint>& servers) {
  std::string text;
  for (const Endpoint& server : servers) {
    text += FormatAddress(server.address) + "#" + std::to_string(server.port) + " ";
  }
  return text;
}

TEST(ServersTest, AreTheFirstThreeNameserverLines) {
  EXPECT_EQ(Text(ServersIn("# nameserver 1.1.1.1\nsearch example.com\nnameserver 192.0.2.1\n"
                           "options ndots:5\nnameserver\t2001:db8::1\nnameserver nonsense\n"
                           "nameserver 192.0.2.3 trailing\nnameserver 192.0.2.4\n")),
            "192.0.2.1#53 2001:db8::1#53 192.0.2.3#53 ");
}

TEST(ServersTest, NoneIsThisMachine) {
  EXPECT_EQ(Text(ServersIn("")), "127.0.0.1#53 ");
  EXPECT_EQ(Text(ServersOfFile("/nonexistent/resolv.conf")), "127.0.0.1#53 ");
}

TEST(ServersTest, ALinkLocalOneNamesItsLink) {
  const auto servers = ServersIn("nameserver fe80::1%lo\n");
  ASSERT_EQ(servers.size(), 1U);
  EXPECT_NE(servers[0].scope, 0U);
}

TEST(ServersTest, AProfileNamesItsOwn) {
  EXPECT_EQ(Text(ServersAt({"192.0.2.1", "2001:db8::1", "127.0.0.1:5353", "[::1]:54"})),
            "192.0.2.1#53 2001:db8::1#53 127.0.0.1#5353 ::1#54 ");
}

TEST(ServersTest, AreShownAsAProfileWritesThem) {
  EXPECT_EQ(ServersText(ServersAt({"192.0.2.1", "2001:db8::1", "127.0.0.1:5353", "[::1]:54"})),
            "192.0.2.1, 2001:db8::1, 127.0.0.1:5353, [::1]:54");
  EXPECT_EQ(ServersText({}), "");
}

}  // namespace
}  // namespace cellrun::net
