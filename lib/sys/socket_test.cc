// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <utility>

namespace cellrun::sys {
namespace {

TEST(ReceiveMessageTest, WhatWasSaidBeforeLeavingSomethingUnreadComes) {
  auto [ours, theirs] = SocketPair(SOCK_SEQPACKET).value();
  ASSERT_TRUE(SendMessage(theirs, "exited", {}).ok());
  ASSERT_TRUE(SendMessage(ours, "an order", {}).ok());
  theirs.Reset();
  const Result<Message> last = ReceiveMessage(ours, 16);
  ASSERT_TRUE(last.ok()) << last.error().ToString();
  EXPECT_EQ(last->bytes, "exited");
  const Result<Message> end = ReceiveMessage(ours, 16);
  ASSERT_TRUE(end.ok()) << end.error().ToString();
  EXPECT_EQ(end->bytes, "");
}

}  // namespace
}  // namespace cellrun::sys
