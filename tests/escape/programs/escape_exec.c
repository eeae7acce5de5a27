// SPDX-License-Identifier: Apache-2.0
// Group A: ways to start a program that may not be started. Most take a program that would leave a
// mark; the mark, seen from outside, is what counts.
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

#ifndef AT_EXECVE_CHECK
#define AT_EXECVE_CHECK 0x10000
#endif

static char* no_environment[] = {NULL};
static char mark_name[] = "mark";

// Each start leaves its own mark, so that from outside every way counts by itself.
static int starts;
static char mark_argument[32];
static char* mark_argv[] = {mark_name, mark_argument, NULL};

typedef void (*Exec)(const char* path, int fd);
static void ByPath(const char* path, int fd) {
  (void)fd;
  execve(path, mark_argv, no_environment);
}
static int Start(Exec exec, const char* path, int fd) {
  snprintf(mark_argument, sizeof mark_argument, "as=evil-%d", ++starts);
  fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    exec(path, fd);
    _exit(127);
  }
  const int status = pid < 0 ? -1 : StatusOf(pid);
  printf("%d %s %s\n", starts, status == 0 ? "ran" : "did not run", path);
  return status == 0;
}
static int Verdict(int ran) {
  return ran > 0 ? Won("%d of %d", ran, starts) : Held("none of %d", starts);
}

// ---- A1: spellings of one path

static void ByDirectory(const char* path, int fd) {
  syscall(SYS_execveat, fd, path, mark_argv, no_environment, 0);
}
static void ByDescriptor(const char* path, int fd) {
  (void)path;
  syscall(SYS_execveat, fd, "", mark_argv, no_environment, AT_EMPTY_PATH);
}
static void WithoutFollowing(const char* path, int fd) {
  (void)fd;
  syscall(SYS_execveat, AT_FDCWD, path, mark_argv, no_environment, AT_SYMLINK_NOFOLLOW);
}
static void FromItsDirectory(const char* path, int fd) {
  if (fchdir(fd) == 0) execve(path, mark_argv, no_environment);
}

static int Spellings(char** arguments) {  // PROGRAM, absolute
  const char* program = arguments[0];
  const char* slash = strrchr(program, '/');
  char directory[2048], text[8192], up[1024] = "";
  snprintf(directory, sizeof directory, "%.*s", (int)(slash - program), program);
  const char* base = slash + 1;
  const int directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  const int inherited_fd = open(directory, O_PATH | O_DIRECTORY);
  const int file_fd = open(program, O_PATH | O_CLOEXEC);
  if (directory_fd < 0 || file_fd < 0) return NotTried("%s: %s", program, ErrorName());
  for (int i = 0; i < 30; ++i) strcat(up, "../");
  (void)!symlink(program, "link");
  (void)!symlink("link", "link-to-link");
  (void)!symlink(directory, "link-to-directory");
  (void)!symlink("/proc/self/root", "link-to-root");
  (void)!symlink("/proc/self/fd", "link-to-descriptors");

  int ran = 0;
  const char* const formats[] = {"%s",
                                 "/%s",
                                 "//%s",
                                 "/.%s",
                                 "/..%s",
                                 "/usr/..%s",
                                 "/bin/..%s",
                                 "/proc/self/root%s",
                                 "/proc/self/root/../..%s",
                                 "/proc/thread-self/root%s",
                                 "/proc/self/task/../root%s",
                                 "link-to-root%s",
                                 "/proc/self/cwd/link-to-root%s",
                                 "/dev/../%s",
                                 "/proc/self/../..%s",
                                 "/dev/fd/../root%s"};
  for (size_t i = 0; i < COUNT(formats); ++i) {
    snprintf(text, sizeof text, formats[i], program);
    ran += Start(ByPath, text, -1);
  }
  snprintf(text, sizeof text, "%s%s", up, program + 1);
  ran += Start(ByPath, text, -1);
  snprintf(text, sizeof text, "/proc/self/cwd/%s%s", up, program + 1);
  ran += Start(ByPath, text, -1);
  snprintf(text, sizeof text, "/proc/%d/root%s", getpid(), program);
  ran += Start(ByPath, text, -1);
  snprintf(text, sizeof text, "/proc/self/fd/%d/%s", inherited_fd, base);
  ran += Start(ByPath, text, -1);
  snprintf(text, sizeof text, "link-to-descriptors/%d/%s", inherited_fd, base);
  ran += Start(ByPath, text, -1);
  snprintf(text, sizeof text, "/proc/self/fd/%d", file_fd);
  ran += Start(ByPath, text, -1);
  snprintf(text, sizeof text, "%s/./././/%s", directory, base);
  ran += Start(ByPath, text, -1);
  snprintf(text, sizeof text, "link-to-directory/%s", base);
  ran += Start(ByPath, text, -1);
  ran += Start(ByPath, "link", -1);
  ran += Start(ByPath, "./link-to-link", -1);
  ran += Start(ByDirectory, base, directory_fd);
  ran += Start(ByDirectory, program, -1);  // an absolute path: the descriptor is not looked at
  ran += Start(ByDescriptor, program, file_fd);
  ran += Start(WithoutFollowing, program, -1);
  ran += Start(FromItsDirectory, base, directory_fd);
  return Verdict(ran);
}

// ---- A2, A3: other names and copies

static int CopyTo(const char* from, int to) {
  const int source = open(from, O_RDONLY | O_CLOEXEC);
  char buffer[65536];
  for (ssize_t count = 0; source >= 0 && (count = read(source, buffer, sizeof buffer)) > 0;) {
    if (write(to, buffer, (size_t)count) != count) return -1;
  }
  if (source < 0) return -1;
  close(source);
  return 0;
}
static int Copy(const char* from, const char* to, const char* appended) {
  const int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0777);
  if (fd < 0 || CopyTo(from, fd) != 0) return -1;
  const int wrong = write(fd, appended, strlen(appended)) < 0;
  close(fd);
  return wrong ? -1 : 0;
}

static int OtherNames(char** arguments) {  // PROGRAM in the workspace
  const char* program = arguments[0];
  int ran = 0;
  (void)!link(program, "hard");
  ran += Start(ByPath, "./hard", -1);
  (void)!symlink(program, "soft");
  ran += Start(ByPath, "./soft", -1);
  (void)!mkdir("elsewhere", 0777);
  (void)!rename("hard", "elsewhere/name");
  ran += Start(ByPath, "elsewhere/name", -1);
  (void)!rename(program, "renamed");
  ran += Start(ByPath, "./renamed", -1);
  (void)!symlink("renamed", program);  // the old name again, now a link
  ran += Start(ByPath, program, -1);
  return Verdict(ran);
}

static int Copies(char** arguments) {  // PROGRAM PLACE…
  int ran = 0;
  for (char** place = arguments + 1; *place != NULL; ++place) {
    for (int appended = 0; appended < 2; ++appended) {
      char name[4096];
      snprintf(name, sizeof name, "%s/cat%d", *place, appended);  // called as something allowed
      if (Copy(arguments[0], name, appended ? "x" : "") != 0) {
        printf("no copy in %s: %s\n", *place, ErrorName());
        continue;
      }
      ran += Start(ByPath, name, -1);
      unlink(name);
    }
  }
  return Verdict(ran);
}

static int Retargeted(
    char** arguments) {  // ALLOWED DENIED: a link that was allowed is pointed elsewhere
  (void)!symlink(arguments[0], "tool");
  char as_good[] = "as=good";
  char* argv[] = {mark_name, as_good, NULL};
  const pid_t pid = fork();
  if (pid == 0) {
    execve("./tool", argv, no_environment);
    _exit(127);
  }
  if (StatusOf(pid) != 0) return NotTried("the allowed target did not run");
  (void)!symlink(arguments[1], "new");
  if (rename("new", "tool") != 0) return NotTried("rename");
  return Verdict(Start(ByPath, "./tool", -1));
}

// ---- A4: the loader as the program

static int loaders_ran;
static void WithLoader(char** argv) {
  char name[32];
  snprintf(name, sizeof name, "ran.evil-%d", ++starts);
  size_t last = 0;
  while (argv[last] != NULL) ++last;
  argv[last] = name;
  fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    execve(argv[0], argv, no_environment);
    _exit(127);
  }
  const int status = StatusOf(pid);
  loaders_ran += status == 0;
  printf("%d %s %s %s\n", starts, status == 0 ? "ran" : "did not run", argv[0], argv[1]);
}
#define LOADER(...)                                 \
  do {                                              \
    char* list[] = {__VA_ARGS__, NULL, NULL, NULL}; \
    WithLoader(list);                               \
  } while (0)

static int Loaders(char** arguments) {  // LOADER touch(1): a dynamic program that makes a file
  char *loader = arguments[0], *program = arguments[1];
  if (Copy(loader, "ld", "") != 0) return NotTried("copy: %s", ErrorName());
  (void)!symlink(loader, "link-to-ld");
  (void)!symlink(program, "innocent");
  WithLoader((char*[]){loader, program, NULL, NULL});
  LOADER(loader, "--inhibit-cache", program);
  LOADER(loader, "--library-path", "/lib:/usr/lib", program);
  LOADER(loader, "--argv0", "/bin/true", program);
  LOADER(loader, "--preload", "/lib/x86_64-linux-gnu/libc.so.6", program);
  LOADER(loader, "--audit", "none.so", program);
  LOADER(loader, "--", program);
  LOADER(loader, "./innocent");
  LOADER(loader, "/proc/self/root/usr/bin/touch");
  LOADER("./link-to-ld", program);
  LOADER("./ld", program);
  LOADER(loader, loader, program);
  LOADER("/proc/self/root/lib64/ld-linux-x86-64.so.2", program);
  return loaders_ran > 0 ? Won("%d of %d", loaders_ran, starts) : Held("none of %d", starts);
}

// ---- A5, A6: programs without a name in the tree

static void ByDescriptorPath(const char* path, int fd) {
  char name[64];
  (void)path;
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  execve(name, mark_argv, no_environment);
}
static void ByDevicePath(const char* path, int fd) {
  char name[64];
  (void)path;
  snprintf(name, sizeof name, "/dev/fd/%d", fd);
  execve(name, mark_argv, no_environment);
}
static int Reopened(int fd) {  // a program that is open for writing cannot run
  char name[64];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  const int again = open(name, O_RDONLY);
  close(fd);
  return again;
}
static int EachWay(const char* what, int fd) {
  if (fd < 0) {
    printf("no %s: %s\n", what, ErrorName());
    return 0;
  }
  return Start(ByDescriptor, what, fd) + Start(ByDescriptorPath, what, fd) +
         Start(ByDevicePath, what, fd);
}
static int Nameless(char** arguments) {  // PROGRAM
  int ran = 0;
  int fd = memfd_create("mark", 0);
  if (fd >= 0 && CopyTo(arguments[0], fd) == 0) ran += EachWay("memory file", Reopened(fd));
  fd = memfd_create("mark", MFD_ALLOW_SEALING | 0x10 /* MFD_EXEC */);
  if (fd >= 0 && CopyTo(arguments[0], fd) == 0) ran += EachWay("memory file, exec", Reopened(fd));
  fd = open(".", O_TMPFILE | O_RDWR, 0777);
  if (fd >= 0 && CopyTo(arguments[0], fd) == 0) ran += EachWay("temporary file", Reopened(fd));
  if (Copy(arguments[0], "gone", "") == 0) {
    fd = open("gone", O_RDONLY);
    unlink("gone");
    ran += EachWay("deleted file", fd);
  }
  const int script = memfd_create("script", 0);
  char line[4200];
  snprintf(line, sizeof line, "#!%s\n", arguments[0]);
  if (script >= 0 && write(script, line, strlen(line)) > 0) {
    fchmod(script, 0777);
    ran += EachWay("script in memory", Reopened(script));
  }
  return Verdict(ran);
}

static int OpenFile(const char* path) {
  return open(path, O_RDONLY | O_CLOEXEC);
}
static int SendFile(char** arguments) {  // SOCKET FILE
  return HandOut(arguments[0], OpenFile, arguments[1]);
}
static int ReceivedFile(char** arguments) {  // SOCKET
  const int peer = ConnectTo(arguments[0]);
  const int fd = peer < 0 ? -1 : ReceiveDescriptor(peer);
  if (fd < 0) return Held("no descriptor arrives: %s", ErrorName());
  return Verdict(EachWay("file from outside", fd));
}

// ---- A12, A24: arguments that are too many, too long, or not there

static int Padded(char** arguments) {  // PROGRAM: the forbidden word comes last
  static const int counts[] = {0, 49, 50, 51, 255, 256, 1024, 5000, 10000, 100000};
  int ran = 0;
  for (size_t i = 0; i < COUNT(counts); ++i) {
    char** argv = calloc((size_t)counts[i] + 4, sizeof *argv);
    snprintf(mark_argument, sizeof mark_argument, "as=evil-%d", ++starts);
    argv[0] = mark_name;
    argv[1] = mark_argument;
    for (int k = 0; k < counts[i]; ++k) argv[k + 2] = (char*)"x";
    argv[counts[i] + 2] = (char*)"--forbidden";
    const pid_t pid = fork();
    if (pid == 0) {
      execve(arguments[0], argv, no_environment);
      _exit(127);
    }
    ran += StatusOf(pid) == 0;
    free(argv);
  }
  static char large[131072];
  memset(large, 'a', sizeof large - 1);
  for (int many = 1; many <= 15; many += 7) {
    char* argv[20] = {mark_name, mark_argument};
    snprintf(mark_argument, sizeof mark_argument, "as=evil-%d", ++starts);
    for (int k = 0; k < many; ++k) argv[k + 2] = large;
    argv[many + 2] = (char*)"--forbidden";
    const pid_t pid = fork();
    if (pid == 0) {
      execve(arguments[0], argv, no_environment);
      _exit(127);
    }
    ran += StatusOf(pid) == 0;
  }
  return Verdict(ran);
}

static void WithoutArguments(const char* path, int fd) {
  (void)fd;
  char* none[] = {NULL};
  execve(path, none, no_environment);
}
static void WithNullArguments(const char* path, int fd) {
  (void)fd;
  syscall(SYS_execve, path, NULL, NULL);
}
static void UnderAnotherName(const char* path, int fd) {
  (void)fd;
  char name[] = "/usr/bin/true";
  char* argv[] = {name, mark_argument, NULL};
  execve(path, argv, no_environment);
}
static int OddArguments(char** arguments) {  // PROGRAM, denied
  int ran = Start(WithoutArguments, arguments[0], -1);
  ran += Start(WithNullArguments, arguments[0], -1);
  ran += Start(UnderAnotherName, arguments[0], -1);
  return Verdict(ran);
}

// ---- A14: environments that are read in two ways

static char* environment[8];
static void WithEnvironment(const char* path, int fd) {
  (void)fd;
  execve(path, mark_argv, environment);
}
static int Environments(
    char** arguments) {  // PROGRAM that may run only with MODE=safe and without LOADED
  static char* const sets[][6] = {
      {(char*)"LOADED=x", (char*)"MODE=safe"},
      {(char*)"MODE=evil"},
      {(char*)"MODE=safe", (char*)"MODE=evil"},
      {(char*)"MODE=evil", (char*)"MODE=safe"},
      {(char*)"MODE=safe", (char*)"LOADED="},
      {(char*)"MODE=safe", (char*)"LOADED=x", (char*)"LOADED="},
      {(char*)"MODE=safe\nLOADED=x"},
      {(char*)"MODE=safe", (char*)"", (char*)"LOADED=x"},
      {(char*)"MODE=safe", (char*)"=", (char*)"=x", (char*)"LOADED=x"},
      {(char*)"mode=safe"},
      {(char*)"MODE =safe"},
      {NULL},
  };
  int ran = 0;
  for (size_t i = 0; i < COUNT(sets); ++i) {
    memset(environment, 0, sizeof environment);
    memcpy(environment, sets[i], sizeof sets[i]);
    ran += Start(WithEnvironment, arguments[0], -1);
  }
  return Verdict(ran);
}

// ---- A19: looking like another program afterwards

static int ForgeIdentity(char** unused) {
  (void)unused;
  FILE* file = fopen("/proc/self/stat", "re");
  char line[2048] = "";
  if (file == NULL || fgets(line, sizeof line, file) == NULL) return NotTried("no stat");
  fclose(file);
  unsigned long long field[60] = {0};
  int count = 2;
  for (char* word = strtok(strrchr(line, ')') + 2, " "); word != NULL && count < 59;
       word = strtok(NULL, " "))
    field[++count] = strtoull(word, NULL, 10);
  char* forged = malloc(64);  // the kernel shows only memory that was written
  memcpy(forged, "/usr/bin/git\0status", 20);
  struct prctl_mm_map map = {.start_code = field[26],
                             .end_code = field[27],
                             .start_stack = field[28],
                             .start_data = field[45],
                             .end_data = field[46],
                             .start_brk = field[47],
                             .brk = (uint64_t)(uintptr_t)sbrk(0),
                             .arg_start = (uint64_t)(uintptr_t)forged,
                             .arg_end = (uint64_t)(uintptr_t)forged + 20,
                             .env_start = field[50],
                             .env_end = field[51],
                             .exe_fd = (uint32_t)-1};
  const long done = prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0);
  const int saved = errno;
  char seen[64] = "";
  file = fopen("/proc/self/cmdline", "re");
  if (file != NULL && fread(seen, 1, sizeof seen - 1, file) > 0 && strcmp(seen, forged) == 0)
    return Won("/proc/self/cmdline says %s", seen);
  errno = saved;
  return Held("prctl %ld: %s", done, ErrorName());
}

// ---- A20: rights that a file gives

static int GainRights(
    char** arguments) {          // PROGRAM with another owner and the set-user-ID bit: this one
  if (arguments[0][0] == '-') {  // started with the bit
    return geteuid() != getuid() || getegid() != getgid()
               ? Won("uid %d euid %d", getuid(), geteuid())
               : Held("uid and euid are %d", getuid());
  }
  char name[] = "escape_exec", attack[] = "gain-rights", second[] = "-";
  char* argv[] = {name, attack, second, NULL};
  execve(arguments[0], argv, no_environment);
  return Held("%s: %s", arguments[0], ErrorName());
}

// ---- A21: who executes

static void* ExecInThread(void* path) {
  execve(path, mark_argv, no_environment);
  return NULL;
}
static void FromThread(const char* path, int fd) {
  (void)fd;
  pthread_t thread;
  pthread_create(&thread, NULL, ExecInThread, (void*)(uintptr_t)path);
  pthread_join(thread, NULL);
}
static void FromManyThreads(const char* path, int fd) {
  (void)fd;
  pthread_t threads[16];
  for (int i = 0; i < 16; ++i)
    pthread_create(&threads[i], NULL, ExecInThread, (void*)(uintptr_t)path);
  for (int i = 0; i < 16; ++i) pthread_join(threads[i], NULL);
}
static void ByVfork(const char* path, int fd) {
  (void)fd;
  const pid_t pid = vfork();
  if (pid == 0) {
    execve(path, mark_argv, no_environment);
    _exit(127);
  }
  _exit(StatusOf(pid));
}
static void BySpawn(const char* path, int fd) {
  (void)fd;
  pid_t pid = -1;
  if (posix_spawn(&pid, path, NULL, NULL, mark_argv, no_environment) != 0) _exit(127);
  _exit(StatusOf(pid));
}
static const char* cloned_path;
static int ExecCloned(void* unused) {
  (void)unused;
  execve(cloned_path, mark_argv, no_environment);
  return 127;
}
static void BySharedMemory(const char* path, int fd) {  // CLONE_VM, and neither VFORK nor THREAD
  (void)fd;
  static char stack[65536] __attribute__((aligned(16)));
  cloned_path = path;
  const pid_t pid = clone(ExecCloned, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
  _exit(pid < 0 ? 127 : StatusOf(pid));
}
static int Tasks(char** arguments) {  // PROGRAM
  static const Exec ways[] = {FromThread, FromManyThreads, ByVfork, BySpawn, BySharedMemory};
  int ran = 0;
  for (size_t i = 0; i < COUNT(ways); ++i) ran += Start(ways[i], arguments[0], -1);
  return Verdict(ran);
}

// ---- A22: questions instead of execs

static int Checks(char** arguments) {  // PROGRAM COUNT
  long yes = 0;
  for (long i = atol(arguments[1]); i > 0; --i) {
    snprintf(mark_argument, sizeof mark_argument, "as=evil");
    yes += syscall(SYS_execveat, AT_FDCWD, arguments[0], mark_argv, no_environment,
                   AT_EXECVE_CHECK) == 0;
  }
  return yes > 0 ? Won("%ld times yes", yes) : Held("%s", ErrorName());
}

// ---- A23: other content in the same file

static int Rewritten(
    char** arguments) {  // PROGRAM, allowed by its hash; its last bytes are its name
  if (StatusOf(({
        const pid_t pid = fork();
        if (pid == 0) {
          char* argv[] = {mark_name, NULL};
          execve(arguments[0], argv, no_environment);
          _exit(127);
        }
        pid;
      })) != 0)
    return NotTried("the program did not run as it was");
  const int fd = open(arguments[0], O_WRONLY | O_CLOEXEC);
  struct stat before;
  fstat(fd, &before);
  if (pwrite(fd, "evil", 4, before.st_size - 4) != 4) return NotTried("%s", ErrorName());
  const struct timespec times[2] = {before.st_atim, before.st_mtim};
  futimens(fd, times);  // as if nothing had been written
  close(fd);
  const pid_t pid = fork();
  if (pid == 0) {
    char* argv[] = {mark_name, NULL};
    execve(arguments[0], argv, no_environment);
    _exit(127);
  }
  const int status = StatusOf(pid);
  return status == 0 ? Won("it ran") : Held("status %d", status);
}

// ---- B7, B14, B16: a supervisor that cannot look, cannot answer, or has seen a failure

static void Undumpable(const char* path, int fd) {
  (void)fd;
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  execve(path, mark_argv, no_environment);
}
static void WithoutDescriptors(const char* path, int fd) {
  (void)fd;
  const struct rlimit limit = {3, 3};
  setrlimit(RLIMIT_NOFILE, &limit);
  execve(path, mark_argv, no_environment);
}
static void WithoutMemory(const char* path, int fd) {
  (void)fd;
  const struct rlimit limit = {16 << 20, 16 << 20};
  setrlimit(RLIMIT_AS, &limit);
  execve(path, mark_argv, no_environment);
}
static void AfterFailures(const char* path, int fd) {
  (void)fd;
  char* as_good[] = {mark_name, (char*)"as=good", NULL};
  for (int i = 0; i < 20; ++i) {
    execve("./broken", as_good, no_environment);  // allowed, and no program
    execve("./no-interpreter", as_good, no_environment);
    execve("./busy", as_good, no_environment);
  }
  execve(path, mark_argv, no_environment);
}
static void AfterUnreadable(const char* path, int fd) {
  (void)fd;
  char* volatile nowhere = (char*)8;  // volatile: the compiler would object
  execve(nowhere, mark_argv, no_environment);
  execve(path, (char**)(void*)nowhere, no_environment);
  execve(path, mark_argv, (char**)(void*)nowhere);
  char* half[] = {mark_name, nowhere, NULL};
  execve(path, half, no_environment);
  execve(path, mark_argv, no_environment);
}
static int Blinded(char** arguments) {  // PROGRAM, denied
  const int broken = open("broken", O_WRONLY | O_CREAT | O_CLOEXEC, 0777);
  (void)!write(broken, "\177ELFnonsense", 12);
  close(broken);
  const int script = open("no-interpreter", O_WRONLY | O_CREAT | O_CLOEXEC, 0777);
  (void)!write(script, "#!/nowhere\n", 11);
  close(script);
  if (Copy("/bin/true", "busy", "") != 0) return NotTried("copy");
  const int busy = open("busy", O_WRONLY | O_CLOEXEC);  // ETXTBSY
  static const Exec ways[] = {Undumpable, WithoutDescriptors, WithoutMemory, AfterFailures,
                              AfterUnreadable};
  int ran = 0;
  for (size_t i = 0; i < COUNT(ways); ++i) ran += Start(ways[i], arguments[0], -1);
  close(busy);
  return Verdict(ran);
}
// Started as a program that nobody may read: what is its memory then?
static int Unreadable(char** arguments) {  // PROGRAM COPY: the copy of this program is 0111
  char attack[] = "blinded";
  char* argv[] = {mark_name, attack, arguments[0], NULL};
  if (chmod(arguments[1], 0111) != 0) return NotTried("%s", ErrorName());
  execve(arguments[1], argv, no_environment);
  return Held("cannot be started: %s", ErrorName());
}

static const struct Attack kAttacks[] = {
    {"spellings", 1, Spellings},
    {"other-names", 1, OtherNames},
    {"copies", 2, Copies},
    {"retargeted", 2, Retargeted},
    {"loaders", 2, Loaders},
    {"nameless", 1, Nameless},
    {"send-file", 2, SendFile},
    {"received-file", 1, ReceivedFile},
    {"padded", 1, Padded},
    {"odd-arguments", 1, OddArguments},
    {"environments", 1, Environments},
    {"forge-identity", 0, ForgeIdentity},
    {"gain-rights", 1, GainRights},
    {"tasks", 1, Tasks},
    {"checks", 2, Checks},
    {"rewritten", 1, Rewritten},
    {"blinded", 1, Blinded},
    {"unreadable", 2, Unreadable},
};

int main(int argc, char** argv) {
  return RunAttack(kAttacks, COUNT(kAttacks), argc, argv);
}
