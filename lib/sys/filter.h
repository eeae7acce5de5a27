// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"

// The cell's seccomp filter, generated from one table (syscall_table.cc): the program, its decoder,
// the journal's names, docs/filter.md and the tests all come from there.
namespace cellrun::sys {

enum class SyscallClass : std::uint8_t {
  kAllow,
  kJudged,       // notify: execve, execveat, connect
  kBlocked,      // notify: recorded, then EPERM
  kFallBack,     // ENOSYS: libc has another way
  kConditional,  // by arguments; what is notified of these is as good as kBlocked
};
const char* SyscallClassName(SyscallClass c);

// The reviewed opt-ins of a profile; each widens what a cell can do to itself.
enum class OptIn : std::uint8_t { kNone, kPtrace, kPerf, kKeyctl, kUserns };

struct ArgumentRule;  // argument_rule.h

struct SyscallEntry {
  int number;  // x86_64
  const char* name;
  SyscallClass syscall_class;
  // Of kConditional. Of another class: what holds instead of it where a profile has opted in.
  const ArgumentRule* rule = nullptr;
  OptIn opt_in = OptIn::kNone;  // which one turns kBlocked into kAllow, or into `rule`
};

// Nothing for a number that no kernel of the table has.
const SyscallEntry* FindSyscall(int number);
const SyscallEntry* FindSyscall(std::string_view name);
std::span<const SyscallEntry> AllSyscalls();

struct FilterOptions {
  bool allow_ptrace = false;  // the reviewed opt-ins of `syscalls.rules`
  bool allow_perf = false;
  bool allow_keyctl = false;
  bool allow_userns = false;
  bool keep_processors = false;  // nobody says anew which ones it runs on: sched_setaffinity: EPERM
};
// Names that `syscalls.rules … then: allow` may contain.
std::span<const std::string_view> OptInNames();
std::string_view OptInName(OptIn opt_in);  // "" for kNone

// A tree: install cost is linear in its length (607 instructions took 0.5 ms).
std::vector<sock_filter> BuildFilter(const FilterOptions& options);

}  // namespace cellrun::sys
