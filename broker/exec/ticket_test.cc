// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/ticket.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "broker/exec/task.h"

namespace cellrun::exec {
namespace {

Ticket Current() {
  Ticket ticket;
  ticket.start_time = StartTime(getpid()).value();
  ticket.message->explanation = "no";
  return ticket;
}

TEST(TicketsTest, TheChannelIsGivenOnce) {
  Tickets tickets;
  tickets.Add(getpid(), Current());
  EXPECT_EQ(tickets.TakeChannel(getpid())->message->explanation, "no");
  EXPECT_FALSE(tickets.TakeChannel(getpid()).has_value());
}
TEST(TicketsTest, AnExecUsesTheTicketUp) {
  Tickets tickets;
  tickets.Add(getpid(), Current());
  ASSERT_TRUE(tickets.TakeChannel(getpid()).has_value());
  EXPECT_TRUE(tickets.TakeExec(getpid()).has_value());
  EXPECT_FALSE(tickets.TakeExec(getpid()).has_value());
  EXPECT_FALSE(tickets.TakeChannel(getpid()).has_value());
}
TEST(TicketsTest, AGrantIsForOneTicketOnly) {
  const auto sealed = std::make_shared<const Sealed>();
  Tickets tickets;
  tickets.Add(getpid(), Current());
  const std::uint64_t first = tickets.TakeChannel(getpid())->number;
  tickets.Add(getpid(), Current());  // it was redirected again
  const std::uint64_t second = tickets.TakeChannel(getpid())->number;
  tickets.Grant(getpid(), first, sealed);
  tickets.Grant(getpid(), first, nullptr);
  tickets.Grant(getpid(), second, sealed);
  EXPECT_EQ(tickets.TakeExec(getpid())->sealed, sealed);
  tickets.Grant(getpid(), second, sealed);  // it has been used
  EXPECT_FALSE(tickets.TakeExec(getpid()).has_value());
}
TEST(TicketsTest, ARecycledNumberHoldsNothing) {
  Tickets tickets;
  Ticket old = Current();
  --old.start_time;
  tickets.Add(getpid(), old);
  EXPECT_FALSE(tickets.TakeChannel(getpid()).has_value());
  EXPECT_FALSE(tickets.TakeExec(getpid()).has_value());
}
TEST(TicketsTest, TicketsOfTheDeadAreDropped) {
  Tickets tickets;
  tickets.Add(getpid(), Current());
  for (pid_t dead = 1 << 23; dead < (1 << 23) + 3000; ++dead) tickets.Add(dead, Current());
  EXPECT_TRUE(tickets.TakeChannel(getpid()).has_value());
}

}  // namespace
}  // namespace cellrun::exec
