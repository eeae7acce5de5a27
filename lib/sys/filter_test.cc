// SPDX-License-Identifier: Apache-2.0
// The program in an interpreter, against expectations written by hand from the design, so that a
// mistake in the table cannot confirm itself.
#include "lib/sys/filter.h"

#include <asm/ioctls.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <ostream>
#include <set>

#include "lib/base/result.h"
#include "lib/sys/bpf_interpreter.h"

namespace cellrun::sys {
namespace {

constexpr std::uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr std::uint32_t kNotify = SECCOMP_RET_USER_NOTIF;
constexpr std::uint32_t kEnosys = SECCOMP_RET_ERRNO | ENOSYS;
constexpr std::uint32_t kEperm = SECCOMP_RET_ERRNO | EPERM;
constexpr std::uint32_t kFamily = SECCOMP_RET_ERRNO | EAFNOSUPPORT;
constexpr std::uint32_t kProtocol = SECCOMP_RET_ERRNO | EPROTONOSUPPORT;

// Audit's numbers: the headers of another architecture are not at hand.
constexpr std::array<std::uint32_t, 5> kForeignArchitectures = {
    AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, AUDIT_ARCH_ARM, AUDIT_ARCH_RISCV64, 0};

constexpr std::uint64_t kHigh = 0xffffffff00000000;
constexpr std::uint64_t kPointer = 0x7f0000001000;

using Arguments = std::array<std::uint64_t, 6>;

struct Vector {
  const char* name;
  Arguments arguments;
  std::uint32_t expected;
};
void PrintTo(const Vector& vector, std::ostream* stream) {
  *stream << vector.name << std::hex << std::showbase;
  for (const std::uint64_t argument : vector.arguments) *stream << ' ' << argument;
}

const std::set<std::string_view> kJudged = {"execve", "execveat", "connect"};
const std::set<std::string_view> kFallBack = {"clone3", "io_uring_setup", "io_uring_enter",
                                              "io_uring_register", "io_setup",
                                              // 335, 336: gaps for everybody but the kernel
                                              "uretprobe", "uprobe"};
const std::set<std::string_view> kBlocked = {"mount",
                                             "umount2",
                                             "pivot_root",
                                             "chroot",
                                             "fsopen",
                                             "fsconfig",
                                             "fsmount",
                                             "fspick",
                                             "open_tree",
                                             "open_tree_attr",
                                             "move_mount",
                                             "mount_setattr",
                                             "setns",
                                             "bpf",
                                             "ptrace",
                                             "process_vm_readv",
                                             "process_vm_writev",
                                             "process_madvise",
                                             "pidfd_getfd",
                                             "kcmp",
                                             "userfaultfd",
                                             "perf_event_open",
                                             "keyctl",
                                             "add_key",
                                             "request_key",
                                             "kexec_load",
                                             "kexec_file_load",
                                             "init_module",
                                             "finit_module",
                                             "delete_module",
                                             "reboot",
                                             "swapon",
                                             "swapoff",
                                             "acct",
                                             "quotactl",
                                             "quotactl_fd",
                                             "iopl",
                                             "ioperm",
                                             "syslog",
                                             "lookup_dcookie",
                                             "vhangup",
                                             "name_to_handle_at",
                                             "open_by_handle_at",
                                             "fanotify_init",
                                             "settimeofday",
                                             "clock_settime",
                                             "clock_adjtime",
                                             "adjtimex",
                                             "sethostname",
                                             "setdomainname"};
const std::set<std::string_view> kByArguments = {"clone",
                                                 "unshare",
                                                 "prlimit64",
                                                 "setpriority",
                                                 "ioprio_set",
                                                 "sched_setparam",
                                                 "sched_setscheduler",
                                                 "sched_setaffinity",
                                                 "sched_setattr",
                                                 "personality",
                                                 "mknod",
                                                 "mknodat",
                                                 "prctl",
                                                 "seccomp",
                                                 "ioctl",
                                                 "socket",
                                                 "socketpair"};

const Vector kVectors[] = {
    {"clone", {SIGCHLD}, kAllow},
    {"clone", {CLONE_VM | CLONE_VFORK | SIGCHLD}, kAllow},
    {"clone", {CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD}, kAllow},
    {"clone", {CLONE_FS | SIGCHLD}, kEperm},
    {"clone", {CLONE_FILES | SIGCHLD}, kEperm},
    {"clone", {CLONE_VM | CLONE_VFORK | CLONE_FS | SIGCHLD}, kEperm},
    {"clone", {CLONE_PARENT | SIGCHLD}, kAllow},
    {"clone", {CLONE_NEWUSER | SIGCHLD}, kNotify},
    {"clone", {CLONE_NEWUSER | CLONE_FS}, kNotify},
    {"clone", {CLONE_NEWNS}, kNotify},
    {"clone", {CLONE_NEWPID}, kNotify},
    {"clone", {CLONE_NEWNET}, kNotify},
    {"clone", {CLONE_NEWIPC}, kNotify},
    {"clone", {CLONE_NEWUTS}, kNotify},
    {"clone", {CLONE_NEWCGROUP}, kNotify},
    {"clone", {0x80}, kAllow},  // the exit signal's bits, not CLONE_NEWTIME
    {"unshare", {0}, kAllow},
    {"unshare", {CLONE_FS | CLONE_FILES}, kAllow},
    {"unshare", {CLONE_NEWUSER}, kNotify},
    {"unshare", {CLONE_NEWTIME}, kNotify},
    {"unshare", {CLONE_NEWNS | CLONE_FS}, kNotify},

    {"prlimit64", {0, 7, kPointer, 0}, kAllow},
    {"prlimit64", {0, 7, 0, kPointer}, kAllow},
    {"prlimit64", {1, 7, 0, kPointer}, kAllow},
    {"prlimit64", {1, 7, kPointer, 0}, kEperm},
    {"prlimit64", {1, 7, 0x1000, 0}, kEperm},
    {"prlimit64", {1, 7, 0x100000000, 0}, kEperm},  // a pointer with an empty low half
    {"prlimit64", {2, 7, 0, kPointer}, kAllow},
    {"prlimit64", {2, 7, kPointer, 0}, kNotify},
    {"prlimit64", {2, 7, 0x1000, 0}, kNotify},
    {"prlimit64", {2, 7, 0x100000000, 0}, kNotify},
    {"setpriority", {0, 0, 19}, kAllow},
    {"setpriority", {0, 1, 19}, kEperm},
    {"setpriority", {0, 2, 19}, kNotify},
    {"setpriority", {1, 0, 19}, kEperm},
    {"setpriority", {1, 2, 19}, kEperm},
    {"setpriority", {2, 0, 19}, kEperm},
    {"setpriority", {2, 2, 19}, kEperm},
    {"ioprio_set", {1, 0, 0}, kAllow},
    {"ioprio_set", {1, 1, 0}, kEperm},
    {"ioprio_set", {1, 2, 0}, kNotify},
    {"ioprio_set", {2, 0, 0}, kEperm},
    {"ioprio_set", {2, 2, 0}, kEperm},
    {"ioprio_set", {3, 0, 0}, kEperm},
    {"sched_setparam", {0}, kAllow},
    {"sched_setparam", {1}, kEperm},
    {"sched_setparam", {2}, kNotify},
    {"sched_setscheduler", {0}, kAllow},
    {"sched_setscheduler", {1}, kEperm},
    {"sched_setscheduler", {2}, kNotify},
    {"sched_setaffinity", {0}, kAllow},
    {"sched_setaffinity", {1}, kEperm},
    {"sched_setaffinity", {2}, kNotify},
    {"sched_setattr", {0}, kAllow},
    {"sched_setattr", {1}, kEperm},
    {"sched_setattr", {0xffffffff}, kNotify},

    {"personality", {0xffffffff}, kAllow},
    {"personality", {0}, kAllow},
    {"personality", {ADDR_NO_RANDOMIZE}, kAllow},
    {"personality", {ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC}, kNotify},
    {"personality", {PER_LINUX32}, kNotify},
    {"mknod", {kPointer, S_IFIFO | 0600}, kAllow},
    {"mknod", {kPointer, S_IFREG | 0600}, kAllow},
    {"mknod", {kPointer, 0600}, kAllow},
    {"mknod", {kPointer, S_IFSOCK | 0600}, kAllow},
    {"mknod", {kPointer, S_IFCHR | 0600}, kNotify},
    {"mknod", {kPointer, S_IFBLK | 0600}, kNotify},
    {"mknod", {kPointer, 0x70000 | S_IFCHR}, kNotify},  // the kernel's mode has 16 bits
    {"mknodat", {5, kPointer, S_IFIFO}, kAllow},
    {"mknodat", {5, kPointer, S_IFCHR}, kNotify},
    {"mknodat", {5, kPointer, S_IFBLK}, kNotify},
    {"prctl", {PR_SET_DUMPABLE}, kAllow},
    {"prctl", {PR_SET_MM}, kNotify},
    {"prctl", {PR_SET_PTRACER}, kNotify},
    {"seccomp", {SECCOMP_SET_MODE_FILTER, 0}, kAllow},
    {"seccomp", {SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC}, kAllow},
    {"seccomp", {SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER}, kNotify},
    {"seccomp", {SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER | 1}, kNotify},
    {"seccomp", {SECCOMP_GET_ACTION_AVAIL, 0}, kAllow},
    {"ioctl", {0, TIOCSTI}, kEperm},
    {"ioctl", {0, TIOCLINUX}, kEperm},
    {"ioctl", {0, TIOCSETD}, kEperm},
    {"ioctl", {0, TIOCGWINSZ}, kAllow},
    {"ioctl", {0, TIOCSCTTY}, kAllow},

    {"socket", {AF_UNIX, SOCK_STREAM, 0}, kAllow},
    {"socket", {AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0}, kAllow},
    {"socket", {AF_INET, SOCK_STREAM, 0}, kAllow},
    {"socket", {AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 6}, kAllow},
    {"socket", {AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 17}, kAllow},
    {"socket", {AF_INET6, SOCK_STREAM, 0}, kAllow},
    {"socket", {AF_INET, SOCK_DGRAM, 1}, kProtocol},     // ping
    {"socket", {AF_INET, SOCK_STREAM, 262}, kProtocol},  // MPTCP
    {"socket", {AF_INET, SOCK_STREAM, 132}, kProtocol},  // SCTP
    {"socket", {AF_INET, SOCK_RAW, 1}, kProtocol},
    {"socket", {AF_INET, SOCK_RAW, 0}, kProtocol},
    {"socket", {AF_INET, SOCK_RAW | SOCK_CLOEXEC, 6}, kProtocol},
    {"socket", {AF_INET6, SOCK_RAW, 17}, kProtocol},
    {"socket", {AF_INET, SOCK_SEQPACKET, 0}, kProtocol},
    {"socket", {AF_INET, SOCK_PACKET, 0}, kProtocol},
    {"socket", {AF_INET6, SOCK_DGRAM, 136}, kProtocol},  // UDP-Lite
    {"socket", {AF_NETLINK, SOCK_RAW, 0}, kAllow},
    {"socket", {AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0}, kAllow},
    {"socket", {AF_NETLINK, SOCK_RAW, 12}, kProtocol},    // netfilter
    {"socket", {AF_NETLINK, SOCK_DGRAM, 15}, kProtocol},  // uevent
    {"socket", {AF_PACKET, SOCK_RAW, 0}, kFamily},
    {"socket", {AF_VSOCK, SOCK_STREAM, 0}, kFamily},
    {"socket", {AF_ALG, SOCK_SEQPACKET, 0}, kFamily},
    {"socket", {AF_BLUETOOTH, SOCK_RAW, 0}, kFamily},
    {"socket", {0, SOCK_STREAM, 0}, kFamily},
    {"socketpair", {AF_UNIX, SOCK_STREAM, 0}, kAllow},
    {"socketpair", {AF_TIPC, SOCK_STREAM, 0}, kFamily},
};

// Each argument that the kernel takes as 32 bits or fewer. prlimit64's third is a pointer.
bool IsWide(std::string_view name, std::size_t argument) {
  return name == "prlimit64" && argument >= 2;
}

class FilterTest : public testing::Test {
 protected:
  static std::uint32_t Run(BpfInterpreter& program, const char* name, const Arguments& arguments) {
    seccomp_data data{.nr = FindSyscall(name)->number,
                      .arch = AUDIT_ARCH_X86_64,
                      .instruction_pointer = kPointer,
                      .args = {}};
    std::copy(arguments.begin(), arguments.end(), data.args);
    return program.Run(data);
  }
  static std::uint32_t RunNumber(BpfInterpreter& program, std::uint32_t architecture,
                                 std::uint32_t number) {
    return program.Run({.nr = static_cast<int>(number),
                        .arch = architecture,
                        .instruction_pointer = kPointer,
                        .args = {}});
  }
  void RunEverything() {
    for (std::uint32_t number = 0; number < 512; number++) {
      RunNumber(program_, AUDIT_ARCH_X86_64, number);
    }
    RunNumber(program_, AUDIT_ARCH_I386, 11);
    for (const Vector& vector : kVectors) Run(program_, vector.name, vector.arguments);
  }

  BpfInterpreter program_{BuildFilter({})};
};

TEST_F(FilterTest, AnswersEachCallByItsClass) {
  for (const SyscallEntry& entry : AllSyscalls()) {
    if (kByArguments.contains(entry.name)) continue;
    std::uint32_t expected = kAllow;
    if (kJudged.contains(entry.name) || kBlocked.contains(entry.name)) expected = kNotify;
    if (kFallBack.contains(entry.name)) expected = kEnosys;
    for (const std::uint64_t fill : {std::uint64_t{0}, ~std::uint64_t{0}}) {
      EXPECT_EQ(Run(program_, entry.name, {fill, fill, fill, fill, fill, fill}), expected)
          << entry.name;
    }
  }
}

TEST_F(FilterTest, ExpectationsNameCallsThatExist) {
  for (const auto& names : {kJudged, kFallBack, kBlocked, kByArguments}) {
    for (const std::string_view name : names) EXPECT_NE(FindSyscall(name), nullptr) << name;
  }
}

TEST_F(FilterTest, ClassOfATableRowIsWhatTheProgramDoes) {
  for (const SyscallEntry& entry : AllSyscalls()) {
    EXPECT_EQ(kJudged.contains(entry.name), entry.syscall_class == SyscallClass::kJudged)
        << entry.name;
    EXPECT_EQ(kBlocked.contains(entry.name), entry.syscall_class == SyscallClass::kBlocked)
        << entry.name;
    EXPECT_EQ(kByArguments.contains(entry.name), entry.syscall_class == SyscallClass::kConditional)
        << entry.name;
  }
}

TEST_F(FilterTest, DecidesByArguments) {
  for (const Vector& vector : kVectors) {
    EXPECT_EQ(Run(program_, vector.name, vector.arguments), vector.expected)
        << testing::PrintToString(vector);
  }
}

TEST_F(FilterTest, HighHalvesChangeNothing) {
  for (const Vector& vector : kVectors) {
    for (std::size_t i = 0; i < vector.arguments.size(); i++) {
      if (IsWide(vector.name, i)) continue;
      for (int bit = 32; bit < 64; bit++) {
        Vector changed = vector;
        changed.arguments[i] |= std::uint64_t{1} << bit;
        EXPECT_EQ(Run(program_, changed.name, changed.arguments), vector.expected)
            << testing::PrintToString(changed);
      }
      Vector changed = vector;
      changed.arguments[i] |= kHigh;
      EXPECT_EQ(Run(program_, changed.name, changed.arguments), vector.expected)
          << testing::PrintToString(changed);
    }
  }
}

TEST_F(FilterTest, KillsForeignArchitectures) {
  for (const std::uint32_t architecture : kForeignArchitectures) {
    for (std::uint32_t number = 0; number < 600; number++) {
      ASSERT_EQ(RunNumber(program_, architecture, number), std::uint32_t{SECCOMP_RET_KILL_PROCESS})
          << architecture << ' ' << number;
    }
  }
}

TEST_F(FilterTest, DoesNotKnowNumbersThatTheTableLacks) {
  for (std::uint32_t number = 0; number < 2000; number++) {
    if (FindSyscall(static_cast<int>(number)) != nullptr) continue;
    ASSERT_EQ(RunNumber(program_, AUDIT_ARCH_X86_64, number), kEnosys) << number;
  }
  EXPECT_EQ(RunNumber(program_, AUDIT_ARCH_X86_64, 0x7fffffff), kEnosys);
  EXPECT_EQ(RunNumber(program_, AUDIT_ARCH_X86_64, 0x80000000), kEnosys);
  EXPECT_EQ(RunNumber(program_, AUDIT_ARCH_X86_64, 0xffffffff), kEnosys);
}

TEST_F(FilterTest, DoesNotKnowX32) {
  constexpr std::uint32_t kX32Bit = 0x40000000;
  for (std::uint32_t number = 0; number < 600; number++) {
    ASSERT_EQ(RunNumber(program_, AUDIT_ARCH_X86_64, kX32Bit | number), kEnosys) << number;
  }
}

TEST_F(FilterTest, EveryInstructionAndBranchIsReached) {
  RunEverything();
  EXPECT_THAT(program_.Unreached(), testing::IsEmpty());
}

TEST_F(FilterTest, CoverageIsNotReachedByHalfOfTheVectors) {
  for (std::uint32_t number = 0; number < 256; number++) {
    RunNumber(program_, AUDIT_ARCH_X86_64, number);
  }
  EXPECT_THAT(program_.Unreached(), testing::Not(testing::IsEmpty()));
}

TEST_F(FilterTest, IsShorterThan250Instructions) {
  const std::size_t length = BuildFilter({}).size();
  RecordProperty("instructions", static_cast<int>(length));
  EXPECT_LT(length, 250U);
}

// ---- With `userns`: what differs, and that nothing else does.

const std::set<std::string_view> kUsernsAllowed = {"umount2", "pivot_root", "chroot", "sethostname",
                                                   "setdomainname"};
const std::set<std::string_view> kUsernsMissing = {"fsopen",        "fsconfig",      "fsmount",
                                                   "fspick",        "open_tree",     "move_mount",
                                                   "mount_setattr", "open_tree_attr"};

constexpr std::uint32_t kMagicFlags = 0xc0ed0000;  // its bits look like MS_PRIVATE | MS_SLAVE
const Vector kUsernsVectors[] = {
    {"clone", {CLONE_NEWUSER | SIGCHLD}, kAllow},
    {"clone", {CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | SIGCHLD}, kAllow},
    {"clone", {CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP}, kAllow},
    {"clone", {CLONE_VM | CLONE_VFORK | CLONE_FS | SIGCHLD}, kAllow},
    {"clone", {CLONE_VM | CLONE_VFORK | CLONE_FS | CLONE_SETTLS | SIGCHLD}, kAllow},
    {"clone", {CLONE_VM | CLONE_VFORK | CLONE_FS | CLONE_FILES | SIGCHLD}, kEperm},
    {"clone", {CLONE_VFORK | CLONE_FS | SIGCHLD}, kEperm},
    {"clone", {CLONE_VM | CLONE_FS | SIGCHLD}, kEperm},
    {"clone", {CLONE_FS | SIGCHLD}, kEperm},
    {"clone", {CLONE_NEWUSER | CLONE_FILES | SIGCHLD}, kEperm},
    {"clone", {CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD}, kAllow},
    {"unshare", {CLONE_NEWUSER}, kAllow},
    {"unshare", {CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET}, kAllow},
    {"unshare", {CLONE_NEWTIME}, kNotify},
    {"unshare", {CLONE_NEWUSER | CLONE_NEWTIME}, kNotify},
    {"mount", {0, 0, 0, 0}, kNotify},
    {"mount", {0, 0, 0, 1}, kNotify},            // MS_RDONLY
    {"mount", {0, 0, 0, 0xe}, kNotify},          // nosuid, nodev, noexec
    {"mount", {0, 0, 0, 0x4000}, kNotify},       // MS_REC alone
    {"mount", {0, 0, 0, 0x1000}, kAllow},        // MS_BIND
    {"mount", {0, 0, 0, 0x1020}, kAllow},        // MS_BIND | MS_REMOUNT
    {"mount", {0, 0, 0, 0x20}, kAllow},          // MS_REMOUNT
    {"mount", {0, 0, 0, 0x2000}, kAllow},        // MS_MOVE
    {"mount", {0, 0, 0, 0x40000}, kAllow},       // MS_PRIVATE
    {"mount", {0, 0, 0, 0x84000}, kAllow},       // MS_SLAVE | MS_REC
    {"mount", {0, 0, 0, kMagicFlags}, kNotify},  // a new file system, says the kernel
    {"mount", {0, 0, 0, kMagicFlags | 0xe}, kNotify},
    {"mount", {0, 0, 0, kMagicFlags | 0x1000}, kAllow},
    {"open", {kPointer, 0}, kAllow},
    {"open", {kPointer, O_CREAT | O_CLOEXEC}, kAllow},  // for reading
    {"open", {kPointer, O_WRONLY}, kNotify},
    {"open", {kPointer, O_RDWR | O_CLOEXEC}, kNotify},
    {"open", {kPointer, O_ACCMODE}, kNotify},
    {"openat", {5, kPointer, O_DIRECTORY}, kAllow},
    {"openat", {5, kPointer, O_WRONLY | O_CREAT | O_TRUNC}, kNotify},
    {"openat", {5, kPointer, O_RDWR}, kNotify},
};

TEST_F(FilterTest, UsernsOpensWhatSandboxesNeedAndNothingElse) {
  BpfInterpreter program(BuildFilter({.allow_userns = true}));
  for (const SyscallEntry& entry : AllSyscalls()) {
    const std::string_view name = entry.name;
    if (kByArguments.contains(name) || name == "mount" || name == "open" || name == "openat") {
      continue;
    }
    std::uint32_t expected = Run(program_, entry.name, {});
    if (kUsernsAllowed.contains(name)) expected = kAllow;
    if (kUsernsMissing.contains(name)) expected = kEnosys;
    EXPECT_EQ(Run(program, entry.name, {}), expected) << name;
  }
  for (const Vector& vector : kUsernsVectors) {
    EXPECT_EQ(Run(program, vector.name, vector.arguments), vector.expected)
        << testing::PrintToString(vector);
    Vector high = vector;
    for (std::uint64_t& argument : high.arguments) argument |= kHigh;
    EXPECT_EQ(Run(program, high.name, high.arguments), vector.expected)
        << testing::PrintToString(high);
  }
  for (const Vector& vector : kVectors) {
    const std::string_view name = vector.name;
    if (name == "clone" || name == "unshare") continue;
    EXPECT_EQ(Run(program, vector.name, vector.arguments), vector.expected)
        << testing::PrintToString(vector);
  }
  EXPECT_EQ(RunNumber(program, AUDIT_ARCH_I386, 11), std::uint32_t{SECCOMP_RET_KILL_PROCESS});
  for (std::uint32_t number = 0; number < 512; number++) {
    RunNumber(program, AUDIT_ARCH_X86_64, number);
  }
  EXPECT_THAT(program.Unreached(), testing::IsEmpty());
}

TEST_F(FilterTest, ProcessorsThatAreKeptCannotBeChanged) {
  BpfInterpreter free(BuildFilter({}));
  BpfInterpreter kept(BuildFilter({.keep_processors = true}));
  EXPECT_EQ(Run(free, "sched_setaffinity", {0}), kAllow);
  for (const std::uint64_t pid : {0U, 1U, 2U, 77U})
    EXPECT_EQ(Run(kept, "sched_setaffinity", {pid}), kEperm) << pid;
  for (const Vector& vector : kVectors) {
    if (vector.name == std::string_view("sched_setaffinity")) continue;
    EXPECT_EQ(Run(kept, vector.name, vector.arguments), vector.expected)
        << testing::PrintToString(vector);
  }
}

struct OptInCase {
  FilterOptions options;
  std::set<std::string_view> allowed;
};

TEST_F(FilterTest, OptInsAllowTheirCallsAndNothingElse) {
  const OptInCase cases[] = {
      {{.allow_ptrace = true}, {"ptrace", "process_vm_readv", "process_vm_writev"}},
      {{.allow_perf = true}, {"perf_event_open"}},
      {{.allow_keyctl = true}, {"keyctl", "add_key", "request_key"}},
  };
  for (const OptInCase& c : cases) {
    BpfInterpreter program(BuildFilter(c.options));
    for (const std::string_view name : kBlocked) {
      EXPECT_EQ(Run(program, name.data(), {}), c.allowed.contains(name) ? kAllow : kNotify) << name;
    }
    for (const Vector& vector : kVectors) {
      const bool is_ptracer =
          vector.name == std::string_view("prctl") && vector.arguments[0] == PR_SET_PTRACER;
      EXPECT_EQ(Run(program, vector.name, vector.arguments),
                is_ptracer && c.options.allow_ptrace ? kAllow : vector.expected)
          << testing::PrintToString(vector);
    }
    EXPECT_EQ(RunNumber(program, AUDIT_ARCH_I386, 11), std::uint32_t{SECCOMP_RET_KILL_PROCESS});
  }
}

}  // namespace
}  // namespace cellrun::sys
