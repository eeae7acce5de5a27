// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

namespace cellrun::sys {
namespace {

TEST(ReadWholeFileAtTest, ReadsARegularFileUpToItsLimit) {
  const std::string path = testing::TempDir() + "file_test_regular";
  std::ofstream(path) << "1234";
  EXPECT_EQ(*ReadWholeFileAt(AT_FDCWD, path.c_str(), 4), "1234");
  EXPECT_EQ(ReadWholeFileAt(AT_FDCWD, path.c_str(), 3).error().code(), EFBIG);
  std::filesystem::remove(path);
}

TEST(ReadWholeFileAtTest, DoesNotWaitForTheWriterOfAFifo) {
  const std::string path = testing::TempDir() + "file_test_fifo";
  std::filesystem::remove(path);
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(ReadWholeFileAt(AT_FDCWD, path.c_str(), 4).error().code(), EINVAL);
  std::filesystem::remove(path);
}

TEST(ReadWholeFileAtTest, ReadsFilesOfTheKernelAndNoDevices) {
  EXPECT_TRUE(ReadWholeFileAt(AT_FDCWD, "/proc/self/status", 65536).ok());
  EXPECT_EQ(ReadWholeFileAt(AT_FDCWD, "/dev/zero", 65536).error().code(), EINVAL);
}

}  // namespace
}  // namespace cellrun::sys
