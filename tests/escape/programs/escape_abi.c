// SPDX-License-Identifier: Apache-2.0
// Group C: the kernel by its side doors.
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/kcmp.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "attack.h"

#define HIGH (1UL << 40)

// ---- C1: the 32-bit entry of the kernel. Pointers must lie below 4 GiB.

static char* low;
static long Call32(int number, long a, long b, long c) {
  long result = 0;
  __asm__ volatile("int $0x80"
                   : "=a"(result)
                   : "a"(number), "b"(a), "c"(b), "d"(c)
                   : "memory", "r8", "r9", "r10", "r11");
  if (result < 0 && result > -4096) {
    errno = (int)-result;
    return -1;
  }
  return result;
}
static long Getpid32(char** unused) {
  (void)unused;
  return Call32(20, 0, 0, 0);
}
static long Exec32(char** arguments) {
  strcpy(low, arguments[0]);
  uint32_t* argv = (uint32_t*)(void*)(low + 2048);
  strcpy(low + 1024, "as=evil");
  argv[0] = (uint32_t)(uintptr_t)low;
  argv[1] = (uint32_t)(uintptr_t)low + 1024;
  argv[2] = 0;
  return Call32(11, (long)(uintptr_t)low, (long)(uintptr_t)argv, 0);
}
static long Socket32(char** unused) {
  (void)unused;
  uint32_t* call = (uint32_t*)(void*)low;
  call[0] = AF_NETLINK;
  call[1] = SOCK_RAW;
  call[2] = 15;  // NETLINK_KOBJECT_UEVENT
  return Call32(102, 1, (long)(uintptr_t)call, 0);
}
static int Entry32(char** arguments) {  // PROGRAM
  low = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (low == MAP_FAILED) return NotTried("no low memory");
  static const struct Way ways[] = {
      {"getpid", Getpid32}, {"execve", Exec32}, {"socketcall", Socket32}};
  return TryWays(ways, COUNT(ways), arguments);
}

// ---- C4: calls that this program was not written for

static int Unknown(char** unused) {
  (void)unused;
  int there = 0;
  for (long number = 470; number < 1600; ++number) {
    errno = 0;
    if (syscall(number, 0, 0, 0, 0, 0, 0) >= 0 || errno != ENOSYS) {
      printf("%ld: %s\n", number, ErrorName());
      ++there;
    }
  }
  for (long number = 512; number < 548; ++number) {  // x32's own
    errno = 0;
    if (syscall(0x40000000L | number, 0, 0, 0, 0, 0, 0) >= 0 || errno != ENOSYS) ++there;
  }
  errno = 0;
  if (syscall(0x40000000L | SYS_getpid) >= 0) ++there;
  return there > 0 ? Won("%d calls are there", there) : Held("ENOSYS for all");
}

// ---- C5: bits that the kernel does not look at, and a filter might

// 0 if a typed byte came back from a terminal of ours.
static long TypeInto(unsigned long request) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) return -1;
  char name[64];
  if (ptsname_r(master, name, sizeof name) != 0) return -1;
  setsid();
  const int slave = open(name, O_RDWR | O_CLOEXEC);
  if (slave < 0 || ioctl(slave, TIOCSCTTY, 0) < 0) return -1;
  char typed = '\n';
  if (syscall(SYS_ioctl, slave, request, &typed) < 0) return -1;
  char seen = 0;
  return read(slave, &seen, 1) == 1 && seen == '\n' ? 0 : -1;
}
static long Type(char** unused) {
  (void)unused;
  return TypeInto(TIOCSTI);
}
static long TypeHigh(char** unused) {
  (void)unused;
  return TypeInto(TIOCSTI | HIGH);
}
static long TypeHighest(char** unused) {
  (void)unused;
  return TypeInto(TIOCSTI | 1UL << 63);
}
static long UnshareHigh(char** unused) {
  (void)unused;
  return syscall(SYS_unshare, CLONE_NEWUSER | HIGH);
}
static long CloneHigh(char** unused) {
  (void)unused;
  const long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD | HIGH, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  return pid;
}
static long SocketHigh(char** unused) {
  (void)unused;
  return syscall(SYS_socket, AF_VSOCK | HIGH, SOCK_STREAM | HIGH, HIGH);
}
static long NetlinkHigh(char** unused) {
  (void)unused;
  return syscall(SYS_socket, AF_NETLINK | HIGH, SOCK_RAW | HIGH, 15 | HIGH);
}
static long PersonalityHigh(char** unused) {
  (void)unused;
  return syscall(SYS_personality, 0x0008 | HIGH);  // PER_LINUX32
}
static int HighBits(char** arguments) {
  static const struct Way ways[] = {
      {"TIOCSTI", Type},
      {"TIOCSTI, bit 40", TypeHigh},
      {"TIOCSTI, bit 63", TypeHighest},
      {"unshare", UnshareHigh},
      {"clone", CloneHigh},
      {"socket vsock", SocketHigh},
      {"socket netlink", NetlinkHigh},
      {"personality", PersonalityHigh},
  };
  return TryWays(ways, COUNT(ways), arguments);
}

// ---- C6: flags in memory

static long Clone3Namespace(char** unused) {
  (void)unused;
  struct clone_args request = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
  const long pid = syscall(SYS_clone3, &request, sizeof request);
  if (pid == 0) _exit(0);
  return pid;
}
static long Clone3SharedFiles(char** unused) {
  (void)unused;
  struct clone_args request = {.flags = CLONE_FS | CLONE_FILES, .exit_signal = SIGCHLD};
  const long pid = syscall(SYS_clone3, &request, sizeof request);
  if (pid == 0) _exit(0);
  return pid;
}
static long CloneSharedFiles(char** unused) {
  (void)unused;
  const long pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  return pid;
}
static int Clone3(char** arguments) {
  static const struct Way ways[] = {{"clone3 NEWUSER", Clone3Namespace},
                                    {"clone3 FS FILES", Clone3SharedFiles},
                                    {"clone FILES", CloneSharedFiles}};
  return TryWays(ways, COUNT(ways), arguments);
}

// ---- C7: work that no system call of its own asks for

static long Ring(char** unused) {
  (void)unused;
  struct io_uring_params parameters = {0};
  return syscall(SYS_io_uring_setup, 4, &parameters);
}
static long AsynchronousIo(char** unused) {
  (void)unused;
  aio_context_t context = 0;
  return syscall(SYS_io_setup, 1, &context);
}
static int Rings(char** arguments) {
  static const struct Way ways[] = {{"io_uring_setup", Ring}, {"io_setup", AsynchronousIo}};
  return TryWays(ways, COUNT(ways), arguments);
}
// ---- C8: filters of the attacker's own, over ours

static long FilterExec(unsigned answer, char** arguments) {
  const struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, answer),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = {COUNT(code), (struct sock_filter*)(uintptr_t)code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0) return -1;
  char name[] = "mark", word[] = "as=evil";
  char* argv[] = {name, word, NULL};
  char* environment[] = {NULL};
  execve(arguments[0], argv, environment);
  syscall(SYS_execveat, AT_FDCWD, arguments[0], argv, environment, 0);
  return -1;
}
#define FILTER(name, answer)              \
  static long name(char** arguments) {    \
    return FilterExec(answer, arguments); \
  }
FILTER(FilterAllow, SECCOMP_RET_ALLOW)
FILTER(FilterLog, SECCOMP_RET_LOG)
FILTER(FilterTrace, SECCOMP_RET_TRACE)
FILTER(FilterLie, SECCOMP_RET_ERRNO)
FILTER(FilterNotify, SECCOMP_RET_USER_NOTIF)
FILTER(FilterTrap, SECCOMP_RET_TRAP)
static long OwnListener(char** arguments) {  // its owner would answer CONTINUE
  const struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = {COUNT(code), (struct sock_filter*)(uintptr_t)code};
  (void)arguments;
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}
// What waits in place of a denied program runs under the attacker's filters as well: every call but
// exec "succeeds" and does nothing.
static long LieToAll(char** arguments) {
  const struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execveat, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = {COUNT(code), (struct sock_filter*)(uintptr_t)code};
  char name[] = "mark", first[] = "as=evil-lie";
  char* argv[] = {name, first, NULL};
  char* environment[] = {NULL};
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0) _exit(1);
    execve(arguments[0], argv, environment);
    __builtin_trap();
  }
  for (int i = 0; i < 2000; ++i) {
    int status = 0;
    if (waitpid(pid, &status, WNOHANG) == pid) {
      errno = ECHILD;
      return -1;  // it is over; whether the program ran is seen outside
    }
    usleep(1000);
  }
  kill(pid, SIGKILL);
  StatusOf(pid);
  errno = ETIME;
  return -1;
}

static int Filters(char** arguments) {  // PROGRAM
  static const struct Way ways[] = {
      {"ALLOW", FilterAllow},        {"LOG", FilterLog},
      {"TRACE", FilterTrace},        {"ERRNO(0)", FilterLie},
      {"USER_NOTIF", FilterNotify},  {"TRAP", FilterTrap},
      {"NEW_LISTENER", OwnListener}, {"ERRNO(0) for all but exec", LieToAll},
  };
  return TryWays(ways, COUNT(ways), arguments);
}

// ---- C9: into another process of the same user

static volatile int* shared;      // 1: the victim has been changed
static volatile int target = 17;  // at the same address in the victim
static pid_t victim;
static void StartVictim(void) {
  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  victim = fork();
  if (victim == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
      if (target != 17) *shared = 1;
      usleep(1000);
    }
  }
}
static long Changed(void) {
  for (int i = 0; i < 2000 && *shared == 0; ++i) usleep(1000);
  return *shared == 1 ? 0 : -1;
}
static long ByTracing(char** unused) {
  (void)unused;
  if (ptrace(PTRACE_SEIZE, victim, NULL, NULL) != 0 ||
      ptrace(PTRACE_INTERRUPT, victim, NULL, NULL) != 0)
    return -1;
  waitpid(victim, NULL, __WALL);
  if (ptrace(PTRACE_POKEDATA, victim, (void*)(uintptr_t)&target, 1L) != 0) return -1;
  ptrace(PTRACE_DETACH, victim, NULL, NULL);
  return Changed();
}
static long ByVectors(char** unused) {
  (void)unused;
  int value = 1;
  struct iovec from = {&value, sizeof value}, to = {(void*)(uintptr_t)&target, sizeof value};
  return process_vm_writev(victim, &from, 1, &to, 1, 0) < 0 ? -1 : Changed();
}
static long ByMemoryFile(char** unused) {
  (void)unused;
  char name[64];
  snprintf(name, sizeof name, "/proc/%d/mem", victim);
  const int fd = open(name, O_RDWR | O_CLOEXEC);
  const int value = 1;
  if (fd < 0 || pwrite(fd, &value, sizeof value, (off_t)(uintptr_t)&target) < 0) return -1;
  return Changed();
}
static long ByTaskMemoryFile(char** unused) {
  (void)unused;
  char name[80];
  snprintf(name, sizeof name, "/proc/self/root/proc/%d/task/%d/mem", victim, victim);
  const int fd = open(name, O_WRONLY | O_CLOEXEC);
  const int value = 1;
  if (fd < 0 || pwrite(fd, &value, sizeof value, (off_t)(uintptr_t)&target) < 0) return -1;
  return Changed();
}
static long ByTakingDescriptors(char** unused) {
  (void)unused;
  const int fd = (int)syscall(SYS_pidfd_open, victim, 0);
  return fd < 0 ? -1 : syscall(SYS_pidfd_getfd, fd, 1, 0);
}
static long ByComparing(char** unused) {  // tells where kernel objects lie
  (void)unused;
  return syscall(SYS_kcmp, getpid(), victim, KCMP_FILES, 0, 0);
}
static int Injections(char** arguments) {
  StartVictim();
  static const struct Way ways[] = {
      {"ptrace", ByTracing},
      {"process_vm_writev", ByVectors},
      {"/proc/PID/mem", ByMemoryFile},
      {"/proc/PID/task/TID/mem", ByTaskMemoryFile},
      {"pidfd_getfd", ByTakingDescriptors},
      {"kcmp", ByComparing},
  };
  const int result = TryWays(ways, COUNT(ways), arguments);
  kill(victim, SIGKILL);
  StatusOf(victim);
  return result;
}

// ---- C10: PID 1 of the cell and what it knows

static long InitDescriptors(char** unused) {
  (void)unused;
  for (int number = 0; number < 8; ++number) {
    char name[64];
    snprintf(name, sizeof name, "/proc/1/fd/%d", number);
    const int fd = open(name, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    char target[64];
    if (fd >= 0 || readlink(name, target, sizeof target) >= 0) return 0;
  }
  return -1;
}
static long TakeInitDescriptors(char** unused) {
  (void)unused;
  const int fd = (int)syscall(SYS_pidfd_open, 1, 0);
  for (int number = 0; fd >= 0 && number < 8; ++number) {
    if (syscall(SYS_pidfd_getfd, fd, number, 0) >= 0) return 0;
  }
  return -1;
}
#define OPEN(name, path, flags)             \
  static long name(char** unused) {         \
    (void)unused;                           \
    return open(path, (flags) | O_CLOEXEC); \
  }
OPEN(InitMemory, "/proc/1/mem", O_RDONLY)
OPEN(InitRoot, "/proc/1/root/.", O_RDONLY)
OPEN(InitDirectory, "/proc/1/cwd/.", O_RDONLY)
OPEN(InitImage, "/proc/1/exe", O_RDONLY)
static long ReadSome(const char* name) {
  char buffer[64];
  const int fd = open(name, O_RDONLY | O_CLOEXEC);
  return fd < 0 || read(fd, buffer, sizeof buffer) <= 0 ? -1 : 0;
}
#define READ(name, path)            \
  static long name(char** unused) { \
    (void)unused;                   \
    return ReadSome(path);          \
  }
READ(InitEnvironment, "/proc/1/environ")
READ(InitMaps, "/proc/1/maps")
READ(InitStack, "/proc/1/stack")
READ(InitCall, "/proc/1/syscall")
READ(InitAuxiliary, "/proc/1/auxv")
static long TraceInit(char** unused) {
  (void)unused;
  return ptrace(PTRACE_SEIZE, 1, NULL, NULL);
}
static long LimitInit(char** unused) {
  (void)unused;
  const struct rlimit limit = {0, 0};
  return prlimit(1, RLIMIT_NOFILE, &limit, NULL);
}
static long SlowInit(char** unused) {
  (void)unused;
  return setpriority(PRIO_PROCESS, 1, 19);
}
static long ScheduleInit(char** unused) {
  (void)unused;
  const struct sched_param none = {0};
  return sched_setscheduler(1, SCHED_IDLE, &none);
}
static long BindInit(char** unused) {
  (void)unused;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(0, &set);
  return sched_setaffinity(1, sizeof set, &set);
}
static long InputOutputOfInit(char** unused) {
  (void)unused;
  return syscall(SYS_ioprio_set, 1, 1, 3 << 13);
}
static long MoveInitsMemory(char** unused) {
  (void)unused;
  const unsigned long nodes = 1;
  return syscall(SYS_migrate_pages, 1, 8, &nodes, &nodes);
}
static long KillInit(char** unused) {
  (void)unused;
  kill(1, SIGKILL);
  kill(1, SIGSTOP);
  kill(1, SIGTERM);
  usleep(100000);
  FILE* file = fopen("/proc/1/stat", "re");
  char line[256] = "";
  // Hidden, but there: that it can be asked for says so.
  if (file == NULL || fgets(line, sizeof line, file) == NULL)
    return syscall(SYS_pidfd_open, 1, 0) >= 0 ? -1 : 0;
  const char* state = strrchr(line, ')');
  return state != NULL && (state[2] == 'T' || state[2] == 'Z') ? 0 : -1;
}
static int Init(char** arguments) {
  static const struct Way ways[] = {
      {"its descriptors", InitDescriptors},
      {"pidfd_getfd", TakeInitDescriptors},
      {"its memory", InitMemory},
      {"its root", InitRoot},
      {"its directory", InitDirectory},
      {"its image", InitImage},
      {"its environment", InitEnvironment},
      {"its maps", InitMaps},
      {"its stack", InitStack},
      {"its system call", InitCall},
      {"its auxiliary vector", InitAuxiliary},
      {"ptrace", TraceInit},
      {"prlimit", LimitInit},
      {"setpriority", SlowInit},
      {"sched_setscheduler", ScheduleInit},
      {"sched_setaffinity", BindInit},
      {"ioprio_set", InputOutputOfInit},
      {"migrate_pages", MoveInitsMemory},
      {"signals", KillInit},
  };
  return TryWays(ways, COUNT(ways), arguments);
}

// ---- C12: is every thread of every process under the filter?

static void* Wait(void* unused) {
  (void)unused;
  pause();
  return NULL;
}
static int Unfiltered(char** unused) {
  (void)unused;
  pthread_t thread;
  for (int i = 0; i < 8; ++i) pthread_create(&thread, NULL, Wait, NULL);
  char command[] =
      "for f in /proc/[0-9]*/task/*/status; do "
      "grep -q '^NoNewPrivs:.1' $f && grep -q '^Seccomp:.2' $f && "
      "grep -q '^CapBnd:.0000000000000000' $f && grep -q '^CapInh:.0000000000000000' $f || "
      "test ! -e $f || echo $f; done";
  FILE* pipe = popen(command, "re");
  char line[256] = "";
  if (pipe == NULL) return NotTried("popen");
  const char* found = fgets(line, sizeof line, pipe);
  while (fgets(line + 128, 128, pipe) != NULL) {
  }
  pclose(pipe);
  return found != NULL ? Won("%s", line) : Held("all are");
}

// ---- C14: registers from a signal's frame

static const char* frame_path;
static char* frame_argv[3];
extern char system_call_instruction[];
__asm__(".globl system_call_instruction\nsystem_call_instruction: syscall\n ud2\n");
static void Rewrite(int signal, siginfo_t* unused, void* context) {
  (void)signal;
  (void)unused;
  greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
  registers[REG_RIP] = (greg_t)(uintptr_t)system_call_instruction;
  registers[REG_RAX] = SYS_execve;
  registers[REG_RDI] = (greg_t)(uintptr_t)frame_path;
  registers[REG_RSI] = (greg_t)(uintptr_t)frame_argv;
  registers[REG_RDX] = 0;
}
static long FromSignalFrame(char** arguments) {
  frame_path = arguments[0];
  frame_argv[0] = (char*)"mark";
  frame_argv[1] = (char*)"as=evil";
  const struct sigaction action = {.sa_sigaction = Rewrite, .sa_flags = SA_SIGINFO};
  sigaction(SIGUSR1, &action, NULL);
  raise(SIGUSR1);
  return -1;
}
static long InterruptedThenRestarted(char** arguments) {  // a sleep is taken up again as an exec
  frame_path = arguments[0];
  frame_argv[0] = (char*)"mark";
  frame_argv[1] = (char*)"as=evil-restarted";
  const struct sigaction action = {.sa_sigaction = Rewrite, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  alarm(1);
  syscall(SYS_restart_syscall);
  pause();
  return -1;
}
static int Frames(char** arguments) {  // PROGRAM
  static const struct Way ways[] = {{"sigreturn", FromSignalFrame},
                                    {"restart", InterruptedThenRestarted}};
  return TryWays(ways, COUNT(ways), arguments);
}

static const struct Attack kAttacks[] = {
    {"entry-32", 1, Entry32},      {"unknown-calls", 0, Unknown},
    {"high-bits", 0, HighBits},    {"clone3", 0, Clone3},
    {"rings", 0, Rings},           {"filters", 1, Filters},
    {"injections", 0, Injections}, {"init", 0, Init},
    {"unfiltered", 0, Unfiltered}, {"frames", 1, Frames},
};

int main(int argc, char** argv) {
  return RunAttack(kAttacks, COUNT(kAttacks), argc, argv);
}
