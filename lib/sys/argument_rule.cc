// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/argument_rule.h"

#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <initializer_list>

#include "lib/base/check.h"

namespace cellrun::sys {
namespace {

constexpr std::uint32_t kWhole = 0xffffffff;

constexpr ArgumentTest Make(std::uint8_t argument, ArgumentTest::Half half, std::uint32_t mask,
                            ArgumentTest::Kind kind, std::initializer_list<std::uint32_t> values) {
  ArgumentTest test{argument, half, mask, kind, 0, {}};
  for (const std::uint32_t value : values) test.values[test.value_count++] = value;
  return test;
}
constexpr ArgumentTest IsOneOf(std::uint8_t argument, std::initializer_list<std::uint32_t> values) {
  return Make(argument, ArgumentTest::kLow, kWhole, ArgumentTest::kIsOneOf, values);
}
constexpr ArgumentTest IsNot(std::uint8_t argument, std::uint32_t value) {
  return Make(argument, ArgumentTest::kLow, kWhole, ArgumentTest::kIsNoneOf, {value});
}
constexpr ArgumentTest HasAnyBit(std::uint8_t argument, std::uint32_t bits) {
  return Make(argument, ArgumentTest::kLow, bits, ArgumentTest::kIsNoneOf, {0});
}
constexpr ArgumentTest HasNoBit(std::uint8_t argument, std::uint32_t bits) {
  return Make(argument, ArgumentTest::kLow, bits, ArgumentTest::kIsOneOf, {0});
}
constexpr ArgumentTest MaskedIsOneOf(std::uint8_t argument, std::uint32_t mask,
                                     std::initializer_list<std::uint32_t> values) {
  return Make(argument, ArgumentTest::kLow, mask, ArgumentTest::kIsOneOf, values);
}
constexpr ArgumentTest HighIsNotZero(std::uint8_t argument) {
  return Make(argument, ArgumentTest::kHigh, kWhole, ArgumentTest::kIsNoneOf, {0});
}

constexpr Condition When(std::initializer_list<ArgumentTest> tests, Answer answer,
                         OptIn opt_in = OptIn::kNone) {
  Condition condition{0, {}, answer, opt_in, OptIn::kNone};
  for (const ArgumentTest& test : tests) condition.tests[condition.test_count++] = test;
  return condition;
}
constexpr Condition OnlyWith(OptIn opt_in, std::initializer_list<ArgumentTest> tests,
                             Answer answer) {
  Condition condition = When(tests, answer);
  condition.only_with = opt_in;
  return condition;
}

// ---- clone, unshare. clone reads the low 32 bits of its flags, less the signal in the lowest 8,
// where unshare has CLONE_NEWTIME.

constexpr std::uint32_t kCloneNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                           CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
                                           CLONE_NEWNET;
// exec keeps a shared fs_struct: another process could then move the working directory of a program
// whose start was approved. That holds for CLONE_VFORK | CLONE_VM too, which posix_spawn(3) and
// vfork(2) use without these two bits.
constexpr Condition kClone[] = {
    When({HasAnyBit(0, kCloneNamespaces)}, Answer::kNotify, OptIn::kUserns),
    // How a browser's sandbox gets rid of the file system: a child that shares the root directory
    // calls chroot(2) and ends, its parent waits meanwhile.
    OnlyWith(OptIn::kUserns,
             {MaskedIsOneOf(0, CLONE_VM | CLONE_VFORK | CLONE_FS | CLONE_FILES | CLONE_THREAD,
                            {CLONE_VM | CLONE_VFORK | CLONE_FS})},
             Answer::kAllow),
    When({HasAnyBit(0, CLONE_FS | CLONE_FILES), HasNoBit(0, CLONE_THREAD)}, Answer::kEperm),
};
constexpr Condition kUnshare[] = {
    When({HasAnyBit(0, kCloneNamespaces | CLONE_NEWTIME)}, Answer::kNotify, OptIn::kUserns),
    OnlyWith(OptIn::kUserns, {HasAnyBit(0, CLONE_NEWTIME)}, Answer::kNotify),
};

// ---- Another task's limits and scheduling: the kernel compares uids only, and init, which is 1,
// has the cell's. Whether another number is one of the caller's own the broker knows.

constexpr std::uint32_t kInit = 1;
constexpr Condition kLimit[] = {
    When({IsOneOf(0, {0})}, Answer::kAllow),
    When({IsOneOf(0, {kInit}), IsNot(2, 0)}, Answer::kEperm),
    When({IsOneOf(0, {kInit}), HighIsNotZero(2)}, Answer::kEperm),  // a 64-bit pointer
    When({IsOneOf(0, {kInit})}, Answer::kAllow),
    When({IsNot(2, 0)}, Answer::kNotify),
    When({HighIsNotZero(2)}, Answer::kNotify),
};
// Groups and users are refused whole: the user's processes include init.
constexpr Condition kPriority[] = {
    When({IsOneOf(0, {PRIO_PROCESS}), IsOneOf(1, {0})}, Answer::kAllow),
    When({IsOneOf(0, {PRIO_PROCESS}), IsNot(1, kInit)}, Answer::kNotify),
};
constexpr std::uint32_t kIoPriorityProcess = 1;  // linux/ioprio.h is not C++
constexpr Condition kIoPriority[] = {
    When({IsOneOf(0, {kIoPriorityProcess}), IsOneOf(1, {0})}, Answer::kAllow),
    When({IsOneOf(0, {kIoPriorityProcess}), IsNot(1, kInit)}, Answer::kNotify),
};
constexpr Condition kScheduler[] = {
    When({IsOneOf(0, {0})}, Answer::kAllow),
    When({IsOneOf(0, {kInit})}, Answer::kEperm),
};

// ---- The rest.

constexpr std::uint32_t kPersonalityQuery = 0xffffffff;
constexpr Condition kPersonality[] = {
    When({IsOneOf(0, {PER_LINUX, ADDR_NO_RANDOMIZE, kPersonalityQuery})}, Answer::kAllow),
};
// The mode is 16 bits wide in the kernel, which the mask of its type lies within.
constexpr Condition kMknod[] = {
    When({MaskedIsOneOf(1, S_IFMT, {S_IFCHR, S_IFBLK})}, Answer::kNotify),
};
constexpr Condition kMknodat[] = {
    When({MaskedIsOneOf(2, S_IFMT, {S_IFCHR, S_IFBLK})}, Answer::kNotify),
};
constexpr Condition kPrctl[] = {
    When({IsOneOf(0, {PR_SET_MM})}, Answer::kNotify),
    When({IsOneOf(0, {PR_SET_PTRACER})}, Answer::kNotify, OptIn::kPtrace),
};
// A listener of the cell's own would stand between a call and the broker.
constexpr Condition kSeccomp[] = {
    When({IsOneOf(0, {SECCOMP_SET_MODE_FILTER}), HasAnyBit(1, SECCOMP_FILTER_FLAG_NEW_LISTENER)},
         Answer::kNotify),
};
constexpr Condition kIoctl[] = {
    When({IsOneOf(1, {TIOCSTI, TIOCLINUX, TIOCSETD})}, Answer::kEperm),
};
// The kernel takes the type from the low 4 bits and refuses what is above but SOCK_CLOEXEC and
// SOCK_NONBLOCK.
constexpr std::uint32_t kSocketTypeMask = 0xf;
constexpr Condition kSocket[] = {
    When({IsOneOf(0, {AF_UNIX})}, Answer::kAllow),
    When({IsOneOf(0, {AF_INET, AF_INET6}),
          MaskedIsOneOf(1, kSocketTypeMask, {SOCK_STREAM, SOCK_DGRAM}),
          IsOneOf(2, {IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP})},
         Answer::kAllow),
    When({IsOneOf(0, {AF_NETLINK}), IsOneOf(2, {NETLINK_ROUTE})}, Answer::kAllow),
    When({IsOneOf(0, {AF_INET, AF_INET6, AF_NETLINK})}, Answer::kProtocol),
};

// ---- The opt-in `userns`.

// mount(2) changes what is mounted already, or mounts a file system; which of the two the kernel
// tells from the flags alone, in this order. It takes the upper half away where that is the old
// magic number, whose bits would otherwise look like a change of propagation.
constexpr std::uint32_t kMagicMask = 0xffff0000, kMagic = 0xc0ed0000;
constexpr std::uint32_t kRemount = 1U << 5, kBind = 1U << 12, kMove = 1U << 13;
constexpr std::uint32_t kPropagation = 1U << 17 | 1U << 18 | 1U << 19 | 1U << 20;
constexpr Condition kMount[] = {
    When({HasAnyBit(3, kRemount | kBind | kMove)}, Answer::kAllow),
    When({MaskedIsOneOf(3, kMagicMask, {kMagic})}, Answer::kNotify),
    When({HasAnyBit(3, kPropagation)}, Answer::kAllow),
};
// The id maps of a user namespace are files of procfs, which is read-only in such a cell: the
// broker opens them.
constexpr Condition kOpen[] = {
    When({HasAnyBit(1, O_ACCMODE)}, Answer::kNotify),
};
constexpr Condition kOpenAt[] = {
    When({HasAnyBit(2, O_ACCMODE)}, Answer::kNotify),
};

}  // namespace

const ArgumentRule kCloneRule{
    kClone, Answer::kAllow,
    "CLONE_NEW* is blocked, unless a profile opts into userns; CLONE_FS or CLONE_FILES without "
    "CLONE_THREAD: EPERM (with userns not for CLONE_FS with CLONE_VM and CLONE_VFORK)"};
const ArgumentRule kUnshareRule{
    kUnshare, Answer::kAllow,
    "CLONE_NEW* is blocked; with the opt-in userns only CLONE_NEWTIME is"};
const ArgumentRule kMountRule{
    kMount, Answer::kNotify,
    "MS_BIND, MS_REMOUNT, MS_MOVE and changes of propagation are allowed; a new file system is "
    "mounted by the broker: proc (read-only), tmpfs, devpts, mqueue; any other is blocked"};
const ArgumentRule kOpenRule{kOpen, Answer::kAllow,
                             "for writing: the broker opens uid_map, gid_map and setgroups of the "
                             "caller and its children; everything else goes on"};
const ArgumentRule kOpenAtRule{kOpenAt, Answer::kAllow, "as `open`"};
const ArgumentRule kNewMountRule{{}, Answer::kEnosys, "ENOSYS: libraries then use `mount`"};
const ArgumentRule kLimitRule{
    kLimit, Answer::kAllow,
    "a new limit is allowed for 0 and for the caller's own threads, else EPERM"};
const ArgumentRule kPriorityRule{
    kPriority, Answer::kEperm,
    "PRIO_PROCESS: allowed for 0 and the caller's own threads, else EPERM"};
const ArgumentRule kIoPriorityRule{
    kIoPriority, Answer::kEperm,
    "IOPRIO_WHO_PROCESS: allowed for 0 and the caller's own threads, else EPERM"};
const ArgumentRule kSchedulerRule{kScheduler, Answer::kNotify,
                                  "allowed for 0 and the caller's own threads, else EPERM"};
const ArgumentRule kPersonalityRule{kPersonality, Answer::kNotify,
                                    "allowed: query, PER_LINUX, ADDR_NO_RANDOMIZE; else blocked"};
const ArgumentRule kMknodRule{kMknod, Answer::kAllow, "devices are blocked"};
const ArgumentRule kMknodatRule{kMknodat, Answer::kAllow, "devices are blocked"};
const ArgumentRule kPrctlRule{
    kPrctl, Answer::kAllow,
    "PR_SET_MM is blocked; PR_SET_PTRACER too, unless a profile opts into ptrace"};
const ArgumentRule kSeccompRule{kSeccomp, Answer::kAllow,
                                "SECCOMP_SET_MODE_FILTER with a listener is blocked"};
const ArgumentRule kIoctlRule{kIoctl, Answer::kAllow, "TIOCSTI, TIOCLINUX, TIOCSETD: EPERM"};
const ArgumentRule kSocketRule{
    kSocket, Answer::kFamily,
    "allowed: AF_UNIX; AF_INET and AF_INET6 with SOCK_STREAM or SOCK_DGRAM and protocol 0, TCP or "
    "UDP; AF_NETLINK with NETLINK_ROUTE; else EPROTONOSUPPORT within these families, EAFNOSUPPORT "
    "for the others"};

std::uint32_t AnswerCode(Answer answer) {
  constexpr auto kError = [](std::uint32_t code) { return SECCOMP_RET_ERRNO | code; };
  switch (answer) {
    case Answer::kAllow:
      return SECCOMP_RET_ALLOW;
    case Answer::kNotify:
      return SECCOMP_RET_USER_NOTIF;
    case Answer::kEperm:
      return kError(EPERM);
    case Answer::kEnosys:
      return kError(ENOSYS);
    case Answer::kFamily:
      return kError(EAFNOSUPPORT);
    case Answer::kProtocol:
      return kError(EPROTONOSUPPORT);
    case Answer::kKill:
      return SECCOMP_RET_KILL_PROCESS;
  }
  CHECK(false);
}

const char* AnswerName(Answer answer) {
  constexpr std::array kNames = {"allow",        "notify",          "EPERM", "ENOSYS",
                                 "EAFNOSUPPORT", "EPROTONOSUPPORT", "kill"};
  return kNames[static_cast<std::size_t>(answer)];
}

}  // namespace cellrun::sys
