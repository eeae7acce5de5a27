// SPDX-License-Identifier: Apache-2.0
// The kernel's whole surface, call by call, as a program in a cell finds it.
#include <gmock/gmock.h>

#include <cerrno>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "lib/sys/filter.h"
#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using sys::SyscallClass;

constexpr int kLastNumber = 600;  // beyond what any kernel has
// The kernel makes these itself, from code that it maps for a tracer, and lets them past every
// filter (6.14 and 6.18); from anywhere else they do nothing.
constexpr int kPastFilters[] = {335, 336};  // uretprobe, uprobe

class SurfaceTest : public Sandbox {
 protected:
  static std::string Prober() {
    const std::string probe = Probe();
    return probe.substr(0, probe.rfind('/')) + "/prober";
  }
  static std::map<int, int> Results(const std::string& text) {
    std::map<int, int> results;
    std::istringstream lines(text);
    int number = 0, result = 0;
    while (lines >> number >> result) results[number] = result;
    for (const int past : kPastFilters) results.erase(past);
    return results;
  }
  std::map<int, int> InCell() {
    const Outcome outcome = Run({Prober(), std::to_string(kLastNumber)},
                                {.profile = OpenProfile(), .flags = ProbeFlags()});
    EXPECT_EQ(outcome.status, 0) << outcome;
    return Results(outcome.out);
  }
  static std::string NameOf(int number) {
    const sys::SyscallEntry* entry = sys::FindSyscall(number);
    return entry != nullptr ? entry->name : "number " + std::to_string(number);
  }
};

TEST_F(SurfaceTest, EachCallAnswersByItsClass) {
  const std::map<int, int> results = InCell();
  ASSERT_GT(results.size(), 500U);
  for (const auto& [number, result] : results) {
    const sys::SyscallEntry* entry = sys::FindSyscall(number);
    EXPECT_GE(result, 0) << NameOf(number) << ": nothing is killed for asking";
    if (entry == nullptr || entry->syscall_class == SyscallClass::kFallBack) {
      EXPECT_EQ(result, ENOSYS) << NameOf(number);
    } else if (entry->syscall_class == SyscallClass::kBlocked) {
      EXPECT_EQ(result, EPERM) << NameOf(number);
    } else if (entry->syscall_class == SyscallClass::kJudged) {
      EXPECT_TRUE(result == EFAULT || result == EBADF || result == EINVAL)
          << NameOf(number) << ": " << strerrorname_np(result);
    }
  }
}

// What is allowed is the kernel's own answer, as this user gets it outside.
TEST_F(SurfaceTest, AsUserAllowedCallsAnswerAsOutside) {
  const std::map<int, int> inside = InCell();
  const std::map<int, int> outside =
      Results(Bare({"setpriv", "--no-new-privs", Prober(), std::to_string(kLastNumber)}).out);
  ASSERT_EQ(inside.size(), outside.size());
  for (const auto& [number, result] : inside) {
    const sys::SyscallEntry* entry = sys::FindSyscall(number);
    if (entry == nullptr || entry->syscall_class != SyscallClass::kAllow) continue;
    EXPECT_EQ(result, outside.at(number)) << entry->name;
  }
}

TEST_F(SurfaceTest, WhatIsBlockedIsRecordedByName) {
  (void)InCell();
  std::set<std::string> recorded;
  for (const auto& record : History({"--kind", "syscall", "--limit", "1000"}))
    recorded.insert(record.value("name", ""));
  for (const sys::SyscallEntry& entry : sys::AllSyscalls()) {
    if (entry.syscall_class != SyscallClass::kBlocked) continue;
    EXPECT_TRUE(recorded.contains(entry.name)) << entry.name;
  }
}

}  // namespace
}  // namespace cellrun::test
