// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/attachments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>

namespace cellrun::exec {
namespace {

seccomp_notif Notification(std::uint64_t id, pid_t tid = 1) {
  seccomp_notif notification{};
  notification.id = id;
  notification.pid = static_cast<__u32>(tid);
  return notification;
}

TEST(AttachmentsTest, OneOfAGroupAtATime) {
  Attachments attachments;
  EXPECT_EQ(attachments.Enter(Notification(1), 100), Attachments::Entry::kEntered);
  EXPECT_EQ(attachments.Enter(Notification(2, 2), 100), Attachments::Entry::kPutAside);
  EXPECT_EQ(attachments.Enter(Notification(3), 200), Attachments::Entry::kEntered);
  EXPECT_FALSE(attachments.Next().has_value());
  attachments.Leave(200);
  EXPECT_FALSE(attachments.Next().has_value());
  attachments.Leave(100);
  const auto next = attachments.Next();
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(next->id, 2U);
  EXPECT_FALSE(attachments.Next().has_value());
}

TEST(AttachmentsTest, WhatFindsNoPlaceWaitsForOne) {
  Attachments attachments;
  for (pid_t group = 1; group <= static_cast<pid_t>(Attachments::kMaxAttached); ++group) {
    EXPECT_EQ(attachments.Enter(Notification(1), group), Attachments::Entry::kEntered);
  }
  EXPECT_EQ(attachments.Enter(Notification(7), 500), Attachments::Entry::kPutAside);
  attachments.Leave(3);
  EXPECT_EQ(attachments.Next()->id, 7U);
  EXPECT_EQ(attachments.Enter(Notification(7), 500), Attachments::Entry::kEntered);
}

constexpr std::size_t kOwn = Attachments::kOwnPlaces;

TEST(AttachmentsTest, MoreThanItsOwnPlacesAreSharedWithOtherCells) {
  const auto shared = std::make_shared<SharedPlaces>(1);
  Attachments one(shared), other(shared);
  pid_t group = 0;
  for (std::size_t i = 0; i < kOwn + 1; ++i) {
    EXPECT_EQ(one.Enter(Notification(1), ++group), Attachments::Entry::kEntered);
  }
  EXPECT_EQ(one.Enter(Notification(8), ++group), Attachments::Entry::kPutAside);
  for (std::size_t i = 0; i < kOwn; ++i) {
    EXPECT_EQ(other.Enter(Notification(1), ++group), Attachments::Entry::kEntered);
  }
  EXPECT_EQ(other.Enter(Notification(9), ++group), Attachments::Entry::kPutAside);
  EXPECT_FALSE(other.Next().has_value());
  one.Leave(1);
  EXPECT_EQ(other.Next()->id, 9U) << "what one gives back, the other can have";
}

TEST(AttachmentsTest, WhoLeavesMakesRoomForItsOwn) {
  const auto shared = std::make_shared<SharedPlaces>(0);
  Attachments attachments(shared);
  for (std::size_t i = 0; i < kOwn; ++i) {
    EXPECT_EQ(attachments.Enter(Notification(1), static_cast<pid_t>(i + 1)),
              Attachments::Entry::kEntered);
  }
  EXPECT_EQ(attachments.Enter(Notification(9), 50), Attachments::Entry::kPutAside);
  EXPECT_FALSE(attachments.Next().has_value());
  attachments.Leave(1);
  EXPECT_EQ(attachments.Next()->id, 9U);
  EXPECT_EQ(attachments.Enter(Notification(9), 50), Attachments::Entry::kEntered);
}

TEST(AttachmentsTest, WhatItHeldOfOthersPlacesIsGivenBackAtItsEnd) {
  const auto shared = std::make_shared<SharedPlaces>(1);
  {
    Attachments attachments(shared);
    for (std::size_t i = 0; i < kOwn + 1; ++i) {
      (void)attachments.Enter(Notification(1), static_cast<pid_t>(i + 1));
    }
    EXPECT_FALSE(shared->any());
  }
  EXPECT_TRUE(shared->any());
}

using Stage = Attachments::Stage;
using testing::ElementsAre;
using testing::IsEmpty;

// The attached task (7) fails and calls again before the trap is pending, and afterwards.
TEST(AttachmentsTest, TheNextCallOfTheAttachedTaskIsSentBack) {
  Attachments attachments;
  EXPECT_EQ(attachments.Enter(Notification(1, 7), 5), Attachments::Entry::kEntered);
  EXPECT_EQ(attachments.Enter(Notification(2, 7), 5), Attachments::Entry::kPutAside);
  EXPECT_FALSE(attachments.Next().has_value());
  EXPECT_THAT(attachments.Advance(5, Stage::kInterrupted), ElementsAre(2U));
  EXPECT_EQ(attachments.Enter(Notification(3, 7), 5), Attachments::Entry::kRestart);
  EXPECT_EQ(attachments.Enter(Notification(4, 8), 5), Attachments::Entry::kPutAside);
  // Once it was stopped it may run at any moment, without a trap: then it waits like others.
  EXPECT_THAT(attachments.Advance(5, Stage::kStopped), IsEmpty());
  EXPECT_EQ(attachments.Enter(Notification(5, 7), 5), Attachments::Entry::kPutAside);
  attachments.Leave(5);
  EXPECT_EQ(attachments.Next()->id, 4U);
  EXPECT_EQ(attachments.Next()->id, 5U);
}
TEST(AttachmentsTest, ARedirectedTaskMakesNoOtherExec) {
  Attachments attachments;
  EXPECT_EQ(attachments.Enter(Notification(1, 7), 5), Attachments::Entry::kEntered);
  EXPECT_EQ(attachments.Enter(Notification(2, 7), 5), Attachments::Entry::kPutAside);
  EXPECT_THAT(attachments.Advance(5, Stage::kRedirecting), ElementsAre(2U));
  EXPECT_EQ(attachments.Enter(Notification(3, 7), 5), Attachments::Entry::kRefuse);
  (void)attachments.Advance(5, Stage::kStopped);
  EXPECT_EQ(attachments.Enter(Notification(4, 7), 5), Attachments::Entry::kPutAside);
}
TEST(AttachmentsTest, WhatWasHeldForNothingComesNext) {
  Attachments attachments;
  EXPECT_EQ(attachments.Enter(Notification(1, 7), 5), Attachments::Entry::kEntered);
  EXPECT_EQ(attachments.Enter(Notification(2, 7), 5), Attachments::Entry::kPutAside);
  attachments.Leave(5);
  EXPECT_EQ(attachments.Next()->id, 2U);
}

TEST(AttachmentsTest, AFloodIsRefused) {
  Attachments attachments;
  EXPECT_EQ(attachments.Enter(Notification(0), 1), Attachments::Entry::kEntered);
  std::size_t aside = 0;
  while (attachments.Enter(Notification(++aside, 2), 1) == Attachments::Entry::kPutAside) {
    ASSERT_LT(aside, 100000U);
  }
  EXPECT_EQ(attachments.Enter(Notification(1, 2), 1), Attachments::Entry::kRefuse);
  EXPECT_EQ(attachments.Enter(Notification(1), 2), Attachments::Entry::kEntered);
}

TEST(AttachmentsTest, AnExpectedCallIsTakenOnceAndOnlyAsItIs) {
  Attachments attachments;
  attachments.Expect(5, {.number = SYS_execveat, .arguments = {3, 4, 5, 6, 0x1000}});
  seccomp_notif call = Notification(1, 5);
  call.data.nr = SYS_execveat;
  for (std::uint64_t i = 0; i < 4; ++i) call.data.args[i] = i + 3;
  EXPECT_FALSE(attachments.Take(call));  // without AT_EMPTY_PATH
  call.data.args[4] = 0x1000;
  seccomp_notif other = call;
  other.pid = 6;
  EXPECT_FALSE(attachments.Take(other));
  EXPECT_TRUE(attachments.Expects(5)) << "nobody has received it";
  EXPECT_TRUE(attachments.Take(call));
  EXPECT_FALSE(attachments.Expects(5));
  EXPECT_FALSE(attachments.Take(call));
  attachments.Expect(5, {.number = SYS_execveat, .arguments = {3, 4, 5, 6, 0x1000}});
  attachments.Forget(5);
  EXPECT_FALSE(attachments.Take(call));
}

}  // namespace
}  // namespace cellrun::exec
