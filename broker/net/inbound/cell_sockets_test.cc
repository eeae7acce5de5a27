// SPDX-License-Identifier: Apache-2.0
#include "broker/net/inbound/cell_sockets.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cerrno>
#include <map>

#include "lib/sys/internet.h"
#include "lib/wire/control.h"

namespace cellrun::net {
namespace {

class CellSocketsTest : public testing::Test {
 protected:
  void Answer(int family, int count) {
    for (int i = 0; i < count; ++i)
      sockets_.Give(family, sys::InternetSocket(AF_INET, SOCK_STREAM));
  }
  CellSockets::Taken Count() {
    return [this](const Result<CellSockets::Pair>& pair) {
      ++(pair.ok() ? taken_ : failed_);
      if (pair.ok()) has_six_ = pair->six.valid();
      if (!pair.ok()) code_ = pair.error().code();
    };
  }
  std::map<int, int> ordered_;
  CellSockets sockets_{[this](int family, int count) { ordered_[family] += count; }};
  int taken_ = 0, failed_ = 0, code_ = 0;
  bool has_six_ = false;
};

TEST_F(CellSocketsTest, KeepsAFewOfEachFamily) {
  sockets_.Fill();
  EXPECT_EQ(ordered_, (std::map<int, int>{{AF_INET, 4}, {AF_INET6, 4}}));
  sockets_.Fill();
  EXPECT_EQ(ordered_[AF_INET], 4) << "what is under way was ordered again";
  Answer(AF_INET, 4);
  Answer(AF_INET6, 4);
  sockets_.Take(Count());
  EXPECT_EQ(taken_, 1);
  EXPECT_TRUE(has_six_);
  EXPECT_EQ(ordered_[AF_INET], 5);
}

TEST_F(CellSocketsTest, WaitsForBothFamilies) {
  sockets_.Take(Count());
  Answer(AF_INET, 1);
  EXPECT_EQ(taken_, 0);
  Answer(AF_INET6, 1);
  EXPECT_EQ(taken_, 1);
}

TEST_F(CellSocketsTest, GoesWithoutIpv6WhereTheKernelHasNone) {
  sockets_.Take(Count());
  Answer(AF_INET, 1);
  sockets_.Give(AF_INET6, Error(EAFNOSUPPORT, "socket"));
  EXPECT_EQ(taken_, 1);
  EXPECT_FALSE(has_six_);
}

TEST_F(CellSocketsTest, TellsWhatInitCouldNotDo) {
  sockets_.Take(Count());
  sockets_.Give(AF_INET, Error(EMFILE, "socket"));
  EXPECT_EQ(failed_, 1);
  EXPECT_EQ(code_, EMFILE);
}

// Else it would be asked for without end, while the broker or init has no descriptors.
TEST_F(CellSocketsTest, WhatCouldNotBeMadeIsOrderedAgainByTheNextOne) {
  sockets_.Fill();
  sockets_.Give(AF_INET, Error(EMFILE, "socket"));
  EXPECT_EQ(ordered_[AF_INET], 4);
  sockets_.Take(Count());
  EXPECT_EQ(ordered_[AF_INET], 6);
}

TEST_F(CellSocketsTest, NeverOrdersMoreThanInitTakesAtOnce) {
  for (int i = 0; i < 100; ++i) sockets_.Take(Count());
  EXPECT_EQ(ordered_[AF_INET], wire::kMaxSocketsOrdered);
  int answered = 0;
  while (answered < ordered_[AF_INET] && answered < 1000) {
    Answer(AF_INET, 1);
    Answer(AF_INET6, 1);
    ++answered;
  }
  EXPECT_EQ(taken_, 100);
  EXPECT_EQ(ordered_[AF_INET], 104);
}

TEST_F(CellSocketsTest, AnswersNobodyAfterTheEnd) {
  sockets_.Take(Count());
  sockets_.Clear();
  Answer(AF_INET, 1);
  Answer(AF_INET6, 1);
  EXPECT_EQ(taken_ + failed_, 0);
}

}  // namespace
}  // namespace cellrun::net
