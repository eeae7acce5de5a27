// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "lib/sys/filter.h"

// How the filter decides a call by its arguments. Plain data: the program, docs/filter.md and the
// tests read it.
namespace cellrun::sys {

enum class Answer : std::uint8_t { kAllow, kNotify, kEperm, kEnosys, kFamily, kProtocol, kKill };
// SECCOMP_RET_…
std::uint32_t AnswerCode(Answer answer);
const char* AnswerName(Answer answer);

// One 32-bit half of an argument, masked, is one of `values` (or none of them). Only the low half
// counts where the kernel takes an int: what a caller puts above it must change nothing.
struct ArgumentTest {
  enum Half : std::uint8_t { kLow, kHigh };
  enum Kind : std::uint8_t { kIsOneOf, kIsNoneOf };

  std::uint8_t argument;  // 0 to 5
  Half half;
  std::uint32_t mask;
  Kind kind;
  std::uint8_t value_count;
  std::array<std::uint32_t, 4> values;
};

struct Condition {
  std::uint8_t test_count;  // all must hold
  std::array<ArgumentTest, 3> tests;
  Answer answer;
  OptIn opt_in = OptIn::kNone;     // the condition does not exist where a profile has opted in
  OptIn only_with = OptIn::kNone;  // nor, with one here, where it has not
};

// The first condition that holds decides.
struct ArgumentRule {
  std::span<const Condition> conditions;
  Answer otherwise;
  const char* meaning;  // for docs/filter.md
};

extern const ArgumentRule kCloneRule;
extern const ArgumentRule kUnshareRule;
extern const ArgumentRule kLimitRule;       // prlimit64
extern const ArgumentRule kPriorityRule;    // setpriority
extern const ArgumentRule kIoPriorityRule;  // ioprio_set
extern const ArgumentRule kSchedulerRule;   // sched_set…
extern const ArgumentRule kPersonalityRule;
extern const ArgumentRule kMknodRule;
extern const ArgumentRule kMknodatRule;
extern const ArgumentRule kPrctlRule;
extern const ArgumentRule kSeccompRule;
extern const ArgumentRule kIoctlRule;
extern const ArgumentRule kSocketRule;  // socket, socketpair
// Of the opt-in `userns`.
extern const ArgumentRule kMountRule;
extern const ArgumentRule kOpenRule;
extern const ArgumentRule kOpenAtRule;
extern const ArgumentRule kNewMountRule;  // fsopen(2) and its like

}  // namespace cellrun::sys
