// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <regex>
#include <set>
#include <string>

#include "lib/sys/argument_rule.h"
#include "lib/sys/filter.h"

namespace cellrun::sys {
namespace {

TEST(SyscallTableTest, IsSortedAndNamesEachCallOnce) {
  std::set<std::string> names;
  int last = -1;
  for (const SyscallEntry& entry : AllSyscalls()) {
    EXPECT_GT(entry.number, last) << entry.name;
    EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
    EXPECT_EQ(entry.rule != nullptr && entry.opt_in == OptIn::kNone,
              entry.syscall_class == SyscallClass::kConditional)
        << entry.name;
    EXPECT_TRUE(entry.opt_in == OptIn::kNone || entry.rule != nullptr ||
                entry.syscall_class == SyscallClass::kBlocked)
        << entry.name;
    last = entry.number;
  }
}

TEST(SyscallTableTest, FindsByNumberAndByName) {
  EXPECT_STREQ(FindSyscall(SYS_execve)->name, "execve");
  EXPECT_EQ(FindSyscall("execve")->number, SYS_execve);
  EXPECT_EQ(FindSyscall("file_setattr")->number, 469);
  EXPECT_EQ(FindSyscall(-1), nullptr);
  EXPECT_EQ(FindSyscall(400), nullptr);
  EXPECT_EQ(FindSyscall(470), nullptr);
  EXPECT_EQ(FindSyscall(0x40000000 + SYS_execve), nullptr);
  EXPECT_EQ(FindSyscall("exec"), nullptr);
}

TEST(SyscallTableTest, OptInsAreNamedLikeTheirProfileKeys) {
  ASSERT_EQ(OptInNames().size(), 4U);
  EXPECT_EQ(OptInName(OptIn::kPtrace), "ptrace");
  EXPECT_EQ(OptInName(OptIn::kPerf), "perf");
  EXPECT_EQ(OptInName(OptIn::kKeyctl), "keyctl");
  EXPECT_EQ(OptInName(OptIn::kUserns), "userns");
  EXPECT_EQ(OptInName(OptIn::kNone), "");
}

// The header of this machine, whatever kernel it belongs to.
std::ifstream OpenHeader() {
  for (const char* path : {"/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
                           "/usr/include/asm/unistd_64.h", "/usr/include/asm/unistd.h"}) {
    std::ifstream file(path);
    if (file) return file;
  }
  return {};
}

TEST(SyscallTableTest, HasEveryCallOfTheKernelHeaders) {
  std::ifstream file = OpenHeader();
  ASSERT_TRUE(file.is_open());
  const std::regex definition("#define\\s+__NR_(\\w+)\\s+(\\d+)\\s*");
  std::string line;
  int found = 0;
  while (std::getline(file, line)) {
    std::smatch match;
    if (!std::regex_match(line, match, definition)) continue;
    found++;
    const SyscallEntry* entry = FindSyscall(std::stoi(match[2]));
    ASSERT_NE(entry, nullptr) << line;
    EXPECT_EQ(entry->name, match[1]);
  }
  EXPECT_GE(found, 350);
}

// Descriptors, pointers and sizes that no call accepts.
bool KernelKnows(int number) {
  return syscall(number, -1, -1, -1, -1, -1, -1) != -1 || errno != ENOSYS;
}

// In a child: what the kernel does with a call that nobody has heard of is its own affair.
int FirstUnknownToTheTable() {
  constexpr int kBeyond = 64;
  const int end = AllSyscalls().back().number + kBeyond;
  for (int number = 0; number < end; number++) {
    if (FindSyscall(number) == nullptr && KernelKnows(number)) return number;
  }
  return 0;
}

TEST(SyscallTableTest, HasEveryCallOfTheRunningKernel) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    const int number = FirstUnknownToTheTable();
    _exit(write(ends[1], &number, sizeof number) == ssize_t{sizeof number} ? 0 : 1);
  }
  int number = -1;
  EXPECT_EQ(read(ends[0], &number, sizeof number), ssize_t{sizeof number});
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  close(ends[0]);
  close(ends[1]);
  EXPECT_EQ(number, 0) << "the kernel has a call with this number, the table does not";
}

}  // namespace
}  // namespace cellrun::sys
