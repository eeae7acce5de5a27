// SPDX-License-Identifier: Apache-2.0
#include "broker/net/address/address.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <string>

namespace cellrun::net {
namespace {

std::string Bytes(const SocketAddress& address) {
  return {reinterpret_cast<const char*>(address.get()), address.size};
}

TEST(EndpointTest, SurvivesARoundTrip) {
  for (const char* text : {"203.0.113.7", "127.0.0.1", "2001:db8::1", "::1"}) {
    const Endpoint endpoint{.address = *ParseAddress(text), .port = 443};
    EXPECT_EQ(EndpointOf(Bytes(SocketAddressOf(endpoint))), endpoint) << text;
    EXPECT_EQ(EndpointOf(Bytes(SocketAddressOf(endpoint, true))), endpoint) << text;
  }
  EXPECT_EQ(SocketAddressOf({.address = Ipv4(1)}, true).size, sizeof(sockaddr_in6));
}

TEST(EndpointTest, KeepsTheScopeOfALink) {
  const Endpoint endpoint{.address = *ParseAddress("fe80::1"), .port = 1, .scope = 7};
  EXPECT_EQ(EndpointOf(Bytes(SocketAddressOf(endpoint))), endpoint);
}

TEST(EndpointTest, WhatIsTooShortOrAnotherFamilyIsNothing) {
  const std::string ipv4 = Bytes(SocketAddressOf({.address = Ipv4(1), .port = 1}));
  const std::string ipv6 = Bytes(SocketAddressOf({.address = *ParseAddress("::1"), .port = 1}));
  for (std::size_t size = 0; size < ipv4.size(); ++size) {
    EXPECT_FALSE(EndpointOf(ipv4.substr(0, size))) << size;
  }
  EXPECT_TRUE(EndpointOf(ipv4 + "trailing bytes"));
  EXPECT_FALSE(EndpointOf(ipv6.substr(0, 23)));
  EXPECT_TRUE(EndpointOf(ipv6.substr(0, 24)));  // as the kernel: without the scope
  std::string unix_path = ipv4;
  unix_path[0] = AF_UNIX;
  EXPECT_FALSE(EndpointOf(unix_path));
}

}  // namespace
}  // namespace cellrun::net
