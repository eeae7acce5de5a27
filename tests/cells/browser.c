// SPDX-License-Identifier: Apache-2.0
// browser: contains itself as the sandbox of a browser does, and says "contained", or what failed.
// User, pid and network namespaces in one clone(2); the child maps its own id, lets go of the file
// system (a child of its own that shares its root directory calls chroot(2) to a directory which
// vanishes with it), makes a pid namespace for a page, and drops its capabilities.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void Require(int holds, const char* what) {
  if (holds) return;
  printf("%s: %s\n", what, strerror(errno));
  fflush(stdout);
  _exit(1);
}
static int Ended(pid_t pid) {
  int status = 0;
  return waitpid(pid, &status, __WALL) == pid && status == 0;
}

static void Write(int proc, const char* path, const char* text) {
  const int fd = openat(proc, path, O_WRONLY | O_CLOEXEC);
  Require(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), path);
  close(fd);
}

static char stack[65536] __attribute__((aligned(16)));
static int LetGo(void* unused) {
  (void)unused;
  _exit(chroot("/proc/self/fdinfo/") != 0 || chdir("/") != 0);
}

static int CountFiles(const char* path) {
  DIR* const directory = opendir(path);
  int count = 0;
  if (directory == NULL) return errno == ENOENT || errno == ESRCH ? 0 : -1;  // it has vanished
  while (readdir(directory) != NULL) ++count;                                // ESRCH likewise
  closedir(directory);
  return count;
}

static void Page(void) {
  Require(getpid() == 1, "first of its pid namespace");
  Require(open("/usr/bin/env", O_RDONLY) < 0 && (errno == ENOENT || errno == ESRCH),
          "no file system");
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
  Require(syscall(SYS_capset, &header, none) == 0, "capset");
  Require(unshare(CLONE_NEWUTS) != 0 && errno == EPERM, "no capabilities");
}

static void Zygote(uid_t uid, gid_t gid, int proc) {
  char map[64];
  Require(getpid() == 1, "first of its pid namespace");
  Write(proc, "self/setgroups", "deny");
  snprintf(map, sizeof map, "%d %d 1", (int)uid, (int)uid);
  Write(proc, "self/uid_map", map);
  snprintf(map, sizeof map, "%d %d 1", (int)gid, (int)gid);
  Write(proc, "self/gid_map", map);
  Require(getuid() == uid && getgid() == gid, "its own ids");
  const pid_t helper =
      clone(LetGo, stack + sizeof stack, CLONE_FS | CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
  Require(helper > 0 && Ended(helper), "a child that shares the root directory");
  Require(CountFiles("/") == 0, "an empty root directory");
  const pid_t page = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
  if (page == 0) {
    Page();
    _exit(0);
  }
  Require(page > 0 && Ended(page), "a page");
}

int main(void) {
  const uid_t uid = getuid();
  const gid_t gid = getgid();
  const int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  const pid_t zygote =
      (pid_t)syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0);
  if (zygote == 0) {
    Zygote(uid, gid, proc);
    _exit(0);
  }
  Require(zygote > 0, "clone");
  if (!Ended(zygote)) return 1;
  puts("contained");
  return 0;
}
