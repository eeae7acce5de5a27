// SPDX-License-Identifier: Apache-2.0
#include "broker/notify/remote_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

namespace cellrun::notify {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::size_t kPage = 4096;

// This process reads itself: the kernel makes no difference.
class RemoteMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    void* area =
        mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(area, MAP_FAILED);
    area_ = static_cast<char*>(area);
  }
  void TearDown() override { munmap(area_, kPages * kPage); }

  void Forbid(std::size_t page) { ASSERT_EQ(mprotect(area_ + page * kPage, kPage, PROT_NONE), 0); }
  static std::uint64_t Address(const void* place) { return reinterpret_cast<std::uint64_t>(place); }
  static int CodeOf(const Result<RemoteMemory::Arguments>& result) {
    return result.ok() ? 0 : result.error().code();
  }

  static constexpr std::size_t kPages = 64;
  char* area_ = nullptr;
  MemoryScratch scratch_;
  RemoteMemory memory_{getpid(), scratch_};
};

TEST_F(RemoteMemoryTest, AStringMayEndAtTheLastReadableByte) {
  Forbid(1);
  char* text = area_ + kPage - 5;
  strcpy(text, "four");
  EXPECT_EQ(memory_.ReadPath(Address(text)).value(), "four");
}
TEST_F(RemoteMemoryTest, AStringThatRunsIntoNothingIsAFault) {
  Forbid(1);
  memset(area_ + kPage - 4, 'x', 4);
  const auto read = memory_.ReadPath(Address(area_ + kPage - 4));
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code(), EFAULT);
}
TEST_F(RemoteMemoryTest, APathHasTheKernelsLength) {
  memset(area_, 'x', 3 * kPage);
  area_[4095] = 0;
  EXPECT_THAT(memory_.ReadPath(Address(area_)).value(), SizeIs(4095));
  area_[4095] = 'x';
  area_[4096] = 0;
  RemoteMemory again(getpid(), scratch_);
  const auto read = again.ReadPath(Address(area_));
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code(), ENAMETOOLONG);
}
TEST_F(RemoteMemoryTest, ListsAreReadAcrossPages) {
  // Strings and pointers that straddle page ends, in no order.
  strcpy(area_ + kPage - 3, "straddles");
  strcpy(area_ + 5 * kPage + 100, "far");
  auto* pointers = reinterpret_cast<std::uint64_t*>(area_ + 3 * kPage - 12);
  const std::uint64_t list[] = {Address(area_ + 5 * kPage + 100), Address(area_ + kPage - 3),
                                Address(area_ + 5 * kPage + 103), 0};
  memcpy(pointers, list, sizeof list);
  const auto read = memory_.ReadArguments(Address(pointers), 0);
  ASSERT_TRUE(read.ok()) << read.error().ToString();
  EXPECT_THAT(read->argv, ElementsAre("far", "straddles", ""));
  EXPECT_THAT(read->env, IsEmpty());
}
TEST_F(RemoteMemoryTest, NullListsAreEmpty) {
  const auto read = memory_.ReadArguments(0, 0);
  EXPECT_THAT(read->argv, ElementsAre(""));
}
TEST_F(RemoteMemoryTest, OneBadPointerIsAFault) {
  const std::uint64_t list[] = {Address(area_), 16, Address(area_), 0};
  EXPECT_EQ(CodeOf(memory_.ReadArguments(Address(list), 0)), EFAULT);
  Forbid(7);
  EXPECT_EQ(CodeOf(memory_.ReadArguments(0, Address(area_ + 7 * kPage))), EFAULT);
}
TEST_F(RemoteMemoryTest, AListThatNeverEndsIsTooMuch) {
  // The same page of pointers everywhere one looks: only the limit ends it.
  std::vector<std::uint64_t> list(600000, Address(area_));
  EXPECT_EQ(CodeOf(memory_.ReadArguments(Address(list.data()), 0)), E2BIG);
}
TEST_F(RemoteMemoryTest, OneLongStringIsTooMuch) {
  memset(area_, 'x', kPages * kPage - 1);
  const std::uint64_t list[] = {Address(area_), 0};
  EXPECT_EQ(CodeOf(memory_.ReadArguments(Address(list), 0)), E2BIG);
  area_[kMaxArgumentBytes - 1] = 0;
  RemoteMemory again(getpid(), scratch_);
  EXPECT_THAT(again.ReadArguments(Address(list), 0)->argv[0], SizeIs(kMaxArgumentBytes - 1));
}
TEST_F(RemoteMemoryTest, ManyScatteredStringsAreRead) {
  // More pages than are kept at a time.
  std::vector<std::string> strings;
  for (int i = 0; i < 2000; ++i)
    strings.push_back(std::string(3000, static_cast<char>('a' + i % 26)));
  std::vector<std::uint64_t> list;
  for (int i = 0; i < 600; ++i)
    list.push_back(Address(strings[static_cast<std::size_t>(i * 3)].data()));
  list.push_back(0);
  const auto read = memory_.ReadArguments(Address(list.data()), 0);
  ASSERT_TRUE(read.ok());
  ASSERT_THAT(read->argv, SizeIs(600));
  for (std::size_t i = 0; i < 600; ++i) EXPECT_EQ(read->argv[i], strings[i * 3]);
}
TEST_F(RemoteMemoryTest, WhatWasReadAheadIsNotReadAgain) {
  Forbid(2);
  strcpy(area_, "ahead");
  auto* pointers = reinterpret_cast<std::uint64_t*>(area_ + kPage);
  pointers[0] = Address(area_);
  pointers[1] = 0;
  memory_.Prefetch({Address(area_), Address(pointers), Address(area_ + 2 * kPage), 0});
  strcpy(area_, "changed");
  pointers[0] = 0;
  EXPECT_EQ(memory_.ReadPath(Address(area_)).value(), "ahead");
  const auto read = memory_.ReadArguments(Address(pointers), 0);
  ASSERT_TRUE(read.ok());
  EXPECT_THAT(read->argv, ElementsAre("ahead"));
  const auto missing = memory_.ReadPath(Address(area_ + 2 * kPage));
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code(), EFAULT);
}
TEST_F(RemoteMemoryTest, ExactReadsAreExact) {
  Forbid(1);
  std::string buffer(8, ' ');
  memcpy(area_ + kPage - 8, "12345678", 8);
  EXPECT_TRUE(memory_.Read(Address(area_ + kPage - 8), buffer).ok());
  EXPECT_EQ(buffer, "12345678");
  EXPECT_FALSE(memory_.Read(Address(area_ + kPage - 7), buffer).ok());
  EXPECT_EQ(memory_.ReadSome(Address(area_ + kPage - 7), buffer).value(), 7U);
}

}  // namespace
}  // namespace cellrun::notify
