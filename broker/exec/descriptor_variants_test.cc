// SPDX-License-Identifier: Apache-2.0
// Programs that are named by a descriptor, or by nothing else any more.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "broker/exec/judged_cell.h"
#include "lib/sys/uapi.h"

namespace cellrun::exec {
namespace {

using testing::SizeIs;
using testing::StartsWith;

int ExecveAt(int directory, const char* path, std::vector<std::string> argv, int flags) {
  std::vector<char*> pointers;
  for (std::string& text : argv) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  syscall(SYS_execveat, directory, path, pointers.data(), environ, flags);
  return -errno;
}

void Link(const char* target, const char* path) {
  CHECK(symlink(target, path) == 0);
}

class DescriptorVariantsTest : public testing::Test {
 protected:
  // The request of the last exec that was judged.
  policy::ExecRequest LastRequest() {
    const auto requests = cell_.policy->requests();
    if (requests.empty()) {
      ADD_FAILURE() << "nothing was judged: " << cell_.output;
      return {};
    }
    return requests.back();
  }
  JudgedCell cell_;
};

TEST_F(DescriptorVariantsTest, AMemoryFileIsAnonymous) {
  EXPECT_EQ(cell_.Run([] {
    const int fd = memfd_create("x", 0);
    const UniqueFd source(open("/usr/bin/true", O_RDONLY | O_CLOEXEC));
    std::array<char, 65536> buffer{};
    const ssize_t bytes = read(source.get(), buffer.data(), buffer.size());
    if (write(fd, buffer.data(), static_cast<size_t>(bytes)) != bytes) return 1;
    if (InChild([&] { return ExecveAt(fd, "", {"x"}, AT_EMPTY_PATH); }) != 0) return 2;
    return Spawn({"x"}, "/proc/self/fd/" + std::to_string(fd));
  }),
            0)
      << cell_.output;
  for (const policy::ExecRequest& request : cell_.policy->requests()) {
    EXPECT_TRUE(request.images[0].anonymous) << request.raw_path;
    EXPECT_TRUE(request.images[0].writable);
    EXPECT_THAT(request.images[0].path, StartsWith("/memfd:x"));
  }
}

TEST_F(DescriptorVariantsTest, ADeletedFileIsAnonymous) {
  EXPECT_EQ(cell_.Run([] {
    CopyFile("/usr/bin/true", "gone");
    const int fd = open("gone", O_RDONLY);
    unlink("gone");
    return InChild([&] { return ExecveAt(fd, "", {"x"}, AT_EMPTY_PATH); });
  }),
            0)
      << cell_.output;
  EXPECT_TRUE(LastRequest().images[0].anonymous);
}

// Opened outside, in another mount namespace: the same file by the same path, and still not
// the cell's.
TEST_F(DescriptorVariantsTest, ADescriptorFromOutsideIsAnonymous) {
  const int outside = open("/usr/bin/true", O_RDONLY);  // inherited on purpose
  EXPECT_EQ(cell_.Run([outside] {
    if (InChild([&] { return ExecveAt(outside, "", {"x"}, AT_EMPTY_PATH); }) != 0) return 1;
    return Spawn({"x"}, "/proc/self/fd/" + std::to_string(outside));
  }),
            0)
      << cell_.output;
  close(outside);
  ASSERT_THAT(cell_.policy->requests(), SizeIs(2));
  for (const policy::ExecRequest& request : cell_.policy->requests()) {
    EXPECT_TRUE(request.images[0].anonymous) << request.raw_path;
    EXPECT_EQ(request.images[0].path, "/usr/bin/true");
  }
}

TEST_F(DescriptorVariantsTest, AProgramCanExecuteItselfAgain) {
  EXPECT_EQ(cell_.Run([] {
    return Spawn({"/usr/bin/sh", "-c", "exec /proc/self/exe -c 'exit 6'"});
  }),
            6)
      << cell_.output;
  EXPECT_EQ(LastRequest().images[0].path, "/usr/bin/dash");
  EXPECT_FALSE(LastRequest().images[0].anonymous);
}

TEST_F(DescriptorVariantsTest, ExecveatFollowsItsDirectoryAndFlags) {
  EXPECT_EQ(cell_.Run([] {
    const int directory = open("/usr/bin", O_PATH | O_DIRECTORY);
    const int file = open("/usr/bin/true", O_PATH);
    Link("/usr/bin/true", "link");
    if (InChild([&] { return ExecveAt(directory, "true", {"x"}, 0); }) != 0) return 1;
    if (InChild([&] { return ExecveAt(file, "", {"x"}, AT_EMPTY_PATH); }) != 0) return 2;
    if (InChild([&] { return ExecveAt(file, "", {"x"}, 0); }) != -ENOENT) return 3;
    if (InChild([&] { return ExecveAt(77, "true", {"x"}, 0); }) != -EBADF) return 4;
    if (InChild([&] { return ExecveAt(77, "/usr/bin/true", {"x"}, 0); }) != 0) return 5;
    if (InChild([&] { return ExecveAt(AT_FDCWD, "link", {"x"}, AT_SYMLINK_NOFOLLOW); }) != -ELOOP) {
      return 6;
    }
    if (InChild([&] { return ExecveAt(AT_FDCWD, "link", {"x"}, 0x8000); }) != -EINVAL) return 7;
    return 0;
  }),
            0)
      << cell_.output;
}

TEST_F(DescriptorVariantsTest, AScriptFromADescriptorIsVerified) {
  EXPECT_EQ(cell_.Run([] {
    WriteScript("script", "#!/bin/sh\nexit 8\n");
    const int fd = open("script", O_RDONLY);
    return InChild([&] { return ExecveAt(fd, "", {"x"}, AT_EMPTY_PATH); });
  }),
            8)
      << cell_.output;
  EXPECT_EQ(cell_.counters.mismatches, 0U);
}

TEST_F(DescriptorVariantsTest, ACheckIsJudgedAndNotExecuted) {
  cell_.decide = DenyNamed("/false", 0);
  EXPECT_EQ(cell_.Run([] {
    const int check = uapi::kAtExecveCheck;
    if (ExecveAt(AT_FDCWD, "/usr/bin/false", {"x"}, check) != -EACCES) return 1;
    return syscall(SYS_execveat, AT_FDCWD, "/usr/bin/true", nullptr, nullptr, check) == 0 ? 0 : 2;
  }),
            0)
      << cell_.output;
  EXPECT_EQ(cell_.journal.CountResult("check"), 2U);
  EXPECT_TRUE(LastRequest().check_only);
}

}  // namespace
}  // namespace cellrun::exec
