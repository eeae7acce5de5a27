// SPDX-License-Identifier: Apache-2.0
// Group U: what namespaces of one's own open (the opt-in `userns`). Each attack makes them first,
// bare as in a cell.
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

#define UNUSED(name) (void)(name)

static int WriteTo(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  const int written = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
  close(fd);
  return written;
}

// Root of a user namespace, with others beside it.
static int Nest(int flags) {
  char uid[64], gid[64];
  snprintf(uid, sizeof uid, "0 %d 1", (int)getuid());
  snprintf(gid, sizeof gid, "0 %d 1", (int)getgid());
  if (unshare(CLONE_NEWUSER | flags) != 0) return -1;
  if (WriteTo("/proc/self/setgroups", "deny") != 0) return -1;
  if (WriteTo("/proc/self/uid_map", uid) != 0 || WriteTo("/proc/self/gid_map", gid) != 0) return -1;
  return getuid() == 0 ? 0 : -1;
}
#define NEST_OR_GIVE_UP(flags) \
  if (Nest(flags) != 0) return NotTried("no namespaces: %s", ErrorName())

// ---- U1, U2: what hides and protects

static int Contains(const char* path, const char* text) {
  char bytes[256] = "";
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  (void)!read(fd, bytes, sizeof bytes - 1);
  close(fd);
  return strstr(bytes, text) != NULL;
}
static int CanWrite(const char* path) {
  const int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd < 0) return 0;
  (void)!write(fd, "evil\n", 5);
  close(fd);
  return 1;
}
static const char* sought;
static int Reached(const char* path) {
  return sought != NULL ? Contains(path, sought) : CanWrite(path);
}

static char target[512], directory[512];
static void Elsewhere(char* path, const char* below) {
  snprintf(path, 1024, "/dev/shm/elsewhere%s%s", *below == '/' ? "" : "/", below);
}
static long AsItIs(char** unused) {
  UNUSED(unused);
  return Reached(target) ? 0 : -1;
}
static long Unmounted(char** unused) {
  UNUSED(unused);
  for (int flags = 0; flags < 16; ++flags) umount2(target, flags);
  return Reached(target) ? 0 : -1;
}
static long DirectoryUnmounted(char** unused) {
  UNUSED(unused);
  umount2(directory, MNT_DETACH);
  return Reached(target) ? 0 : -1;
}
static long MadeWritable(char** unused) {
  UNUSED(unused);
  mount(NULL, target, NULL, MS_REMOUNT | MS_BIND, NULL);
  mount(NULL, target, NULL, MS_REMOUNT, NULL);
  mount(NULL, directory, NULL, MS_REMOUNT | MS_BIND, NULL);
  return Reached(target) ? 0 : -1;
}
static long BoundOver(int flags) {
  char path[1024];
  const char* name = strrchr(target, '/');
  mkdir("/dev/shm/elsewhere", 0777);
  if (mount(directory, "/dev/shm/elsewhere", NULL, MS_BIND | flags, NULL) != 0) return -1;
  Elsewhere(path, name);
  umount2(path, MNT_DETACH);
  return Reached(path) ? 0 : -1;
}
static long BoundAlone(char** unused) {
  UNUSED(unused);
  return BoundOver(0);
}
static long BoundWhole(char** unused) {
  UNUSED(unused);
  return BoundOver(MS_REC);
}
static long RootBound(char** unused) {
  UNUSED(unused);
  char path[1024];
  mkdir("/dev/shm/elsewhere", 0777);
  if (mount("/", "/dev/shm/elsewhere", NULL, MS_BIND | MS_REC, NULL) != 0) return -1;
  Elsewhere(path, target);
  umount2(path, MNT_DETACH);
  mount(NULL, path, NULL, MS_REMOUNT | MS_BIND, NULL);
  return Reached(path) ? 0 : -1;
}
static long MovedAway(char** unused) {
  UNUSED(unused);
  close(open("/dev/shm/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
  if (mount(target, "/dev/shm/file", NULL, MS_MOVE, NULL) != 0) {
    mkdir("/dev/shm/elsewhere", 0777);
    if (mount(target, "/dev/shm/elsewhere", NULL, MS_MOVE, NULL) != 0) return -1;
  }
  return Reached(target) ? 0 : -1;
}
static long NewRoot(char** unused) {
  UNUSED(unused);
  mkdir("/dev/shm/elsewhere", 0777);
  if (mount(directory, "/dev/shm/elsewhere", NULL, MS_BIND | MS_REC, NULL) != 0) return -1;
  if (chdir("/dev/shm/elsewhere") != 0 || syscall(SYS_pivot_root, ".", ".") != 0) return -1;
  umount2(".", MNT_DETACH);
  umount2(strrchr(target, '/'), MNT_DETACH);
  return Reached(strrchr(target, '/')) ? 0 : -1;
}
static long SecondNamespace(char** unused) {
  UNUSED(unused);
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return -1;
  umount2(target, MNT_DETACH);
  return Reached(target) ? 0 : -1;
}
static long MadeShared(char** unused) {
  UNUSED(unused);
  mount(NULL, "/", NULL, MS_SHARED | MS_REC, NULL);
  mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL);
  umount2(target, MNT_DETACH);
  return Reached(target) ? 0 : -1;
}
static int Reach(char** arguments) {
  static const struct Way ways[] = {{"as it is", AsItIs},
                                    {"umount", Unmounted},
                                    {"umount of its directory", DirectoryUnmounted},
                                    {"remount", MadeWritable},
                                    {"bind of its directory", BoundAlone},
                                    {"recursive bind of its directory", BoundWhole},
                                    {"recursive bind of everything", RootBound},
                                    {"moved away", MovedAway},
                                    {"its directory as root", NewRoot},
                                    {"a second namespace", SecondNamespace},
                                    {"made shared first", MadeShared}};
  NEST_OR_GIVE_UP(CLONE_NEWNS);
  snprintf(target, sizeof target, "%s", arguments[0]);
  snprintf(directory, sizeof directory, "%s", arguments[0]);
  *strrchr(directory, '/') = '\0';
  if (mount("tmpfs", "/dev/shm", "tmpfs", 0, NULL) != 0) return NotTried("tmpfs: %s", ErrorName());
  return TryWays(ways, COUNT(ways), arguments);
}
static int Unmask(char** arguments) {
  sought = arguments[1];
  return Reach(arguments);
}
static int Unprotect(char** arguments) {
  return Reach(arguments);
}

// ---- U3: a program under another one's name. What ran is seen outside.

static long RunAs(const char* path) {
  const pid_t pid = fork();
  if (pid == 0) {
    execl(path, path, "as=evil", NULL);
    _exit(99);
  }
  return StatusOf(pid) == 0 ? 0 : -1;
}
static long BoundOverIt(char** a) {
  if (unshare(CLONE_NEWNS) != 0) return -1;  // each on its own
  if (mount(a[0], a[1], NULL, MS_BIND, NULL) != 0) return -1;
  return RunAs(a[1]);
}
static int CopyTo(const char* from, const char* to) {
  char bytes[65536];
  const int in = open(from, O_RDONLY | O_CLOEXEC);
  const int out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
  ssize_t got = 0;
  while (in >= 0 && out >= 0 && (got = read(in, bytes, sizeof bytes)) > 0) {
    if (write(out, bytes, (size_t)got) != got) return -1;
  }
  close(in);
  close(out);
  return in >= 0 && out >= 0 ? 0 : -1;
}
// A tree with nothing but the program, under the other one's name.
static long FreshTree(char** a, const char* tree) {
  char path[1024];
  mkdir(tree, 0755);
  if (mount("tmpfs", tree, "tmpfs", 0, NULL) != 0) return -1;
  snprintf(path, sizeof path, "%s/usr", tree);
  mkdir(path, 0755);
  strcat(path, "/bin");
  mkdir(path, 0755);
  snprintf(path, sizeof path, "%s%s", tree, a[1]);
  return CopyTo(a[0], path);
}
static long InFreshRoot(char** a) {
  if (unshare(CLONE_NEWNS) != 0) return -1;  // each on its own
  if (FreshTree(a, "/dev/shm/tree") != 0) return -1;
  char here[512];
  char place[1024];
  if (getcwd(here, sizeof here) == NULL) return -1;
  snprintf(place, sizeof place, "/dev/shm/tree/work");
  mkdir(place, 0755);
  if (mount(here, place, NULL, MS_BIND | MS_REC, NULL) != 0) return -1;
  if (chdir("/dev/shm/tree") != 0 || syscall(SYS_pivot_root, ".", ".") != 0) return -1;
  if (umount2(".", MNT_DETACH) != 0 || chdir("/work") != 0) return -1;
  return RunAs(a[1]);
}
static long InChroot(char** a) {
  if (unshare(CLONE_NEWNS) != 0) return -1;  // each on its own
  if (FreshTree(a, "/dev/shm/tree") != 0) return -1;
  mkdir("/dev/shm/tree/work", 0755);
  char here[512];
  if (getcwd(here, sizeof here) == NULL) return -1;
  if (mount(here, "/dev/shm/tree/work", NULL, MS_BIND | MS_REC, NULL) != 0) return -1;
  if (chroot("/dev/shm/tree") != 0 || chdir("/work") != 0) return -1;
  return RunAs(a[1]);
}
static long TmpfsOverDirectory(char** a) {
  if (unshare(CLONE_NEWNS) != 0) return -1;  // each on its own
  char copy[64] = "/dev/shm/copy";
  if (CopyTo(a[0], copy) != 0) return -1;
  if (mount("tmpfs", "/usr/bin", "tmpfs", 0, NULL) != 0 || CopyTo(copy, a[1]) != 0) return -1;
  return RunAs(a[1]);
}
static long ByDescriptor(char** a) {
  if (unshare(CLONE_NEWNS) != 0) return -1;  // each on its own
  if (mount(a[0], a[1], NULL, MS_BIND, NULL) != 0) return -1;
  const int fd = open(a[1], O_PATH | O_CLOEXEC);
  const pid_t pid = fork();
  if (pid == 0) {
    char* const argv[] = {a[1], (char*)"as=evil", NULL};
    char* const none[] = {NULL};
    syscall(SYS_execveat, fd, "", argv, none, AT_EMPTY_PATH);
    _exit(99);
  }
  return StatusOf(pid) == 0 ? 0 : -1;
}
static long ByDirectory(char** a) {
  if (unshare(CLONE_NEWNS) != 0) return -1;  // each on its own
  if (mount(a[0], a[1], NULL, MS_BIND, NULL) != 0) return -1;
  char path[64];
  snprintf(path, sizeof path, "/proc/self/root%s", a[1]);
  return RunAs(path);
}
static long OutOfTheWay(char** a) {  // by a name of the cell's tree that leads into a new one
  if (unshare(CLONE_NEWNS) != 0) return -1;  // each on its own
  char link[64] = "/dev/shm/link";
  if (mount(a[0], a[1], NULL, MS_BIND, NULL) != 0 || symlink(a[1], link) != 0) return -1;
  return RunAs(link);
}
static long MountedMeanwhileRace(char** a) {
  if (unshare(CLONE_NEWNS) != 0) return -1;  // each on its own
  // The name means the allowed program and the other one by turns.
  const pid_t turner = fork();
  if (turner == 0) {
    while (1) {
      if (mount(a[0], a[1], NULL, MS_BIND, NULL) != 0) _exit(1);
      umount2(a[1], MNT_DETACH);
    }
  }
  long won = -1;
  for (int i = 0; i < 60 && won != 0; ++i) won = RunAs(a[1]);
  kill(turner, SIGKILL);
  StatusOf(turner);
  return won;
}
static int OtherName(char** arguments) {
  static const struct Way ways[] = {
      {"bound over it", BoundOverIt},  {"a tmpfs over its directory", TmpfsOverDirectory},
      {"in a new root", InFreshRoot},  {"in a chroot", InChroot},
      {"by descriptor", ByDescriptor}, {"through /proc/self/root", ByDirectory},
      {"through a link", OutOfTheWay}, {"while mounts change", MountedMeanwhileRace}};
  NEST_OR_GIVE_UP(CLONE_NEWNS);
  if (mount("tmpfs", "/dev/shm", "tmpfs", 0, NULL) != 0) return NotTried("tmpfs: %s", ErrorName());
  const int status = TryWays(ways, COUNT(ways), arguments);
  UNUSED(status);
  return Held("whether it ran is seen outside");
}

// The other way round: whoever runs it is in no namespace of his own, but looks into one.
static pid_t holder;
static long Through(const char* link, const char* rest) {
  char path[1024];
  snprintf(path, sizeof path, "/proc/%d/%s%s", (int)holder, link, rest);
  return RunAs(path);
}
static long ThroughRoot(char** a) {
  return Through("root", a[1]);
}
static long ThroughDirectory(char** a) {
  return Through("cwd", strrchr(a[1], '/'));
}
static long ThroughDescriptor(char** a) {
  return Through("fd/50", strrchr(a[1], '/'));
}
static long FromItsDirectory(char** a) {
  // The working directory stays where it is: what runs leaves its mark there.
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/cwd", (int)holder);
  const int directory_there = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  const pid_t pid = fork();
  if (pid == 0) {
    char* const argv[] = {a[1], (char*)"as=evil", NULL};
    char* const none[] = {NULL};
    syscall(SYS_execveat, directory_there, strrchr(a[1], '/') + 1, argv, none, 0);
    _exit(99);
  }
  return StatusOf(pid) == 0 ? 0 : -1;
}
static int LookInto(char** arguments) {
  static const struct Way ways[] = {{"through its root", ThroughRoot},
                                    {"through its directory", ThroughDirectory},
                                    {"through its descriptor", ThroughDescriptor},
                                    {"from its directory", FromItsDirectory}};
  int ends[2];
  if (pipe(ends) != 0) return NotTried("%s", ErrorName());
  holder = fork();
  if (holder == 0) {
    char byte = 'x';
    if (Nest(CLONE_NEWNS) != 0 || mount(arguments[0], arguments[1], NULL, MS_BIND, NULL) != 0)
      _exit(1);
    if (chdir("/usr/bin") != 0 || dup2(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), 50) != 50)
      _exit(1);
    if (write(ends[1], &byte, 1) != 1) _exit(1);
    while (1) pause();
  }
  char byte = 0;
  close(ends[1]);
  if (read(ends[0], &byte, 1) != 1) return NotTried("no namespaces");
  TryWays(ways, COUNT(ways), arguments);
  kill(holder, SIGKILL);
  StatusOf(holder);
  return Held("whether it ran is seen outside");
}

// ---- U4: another process' memory

static volatile char victims_byte = 'a';
static pid_t victim;
static const char* proc = "/proc";
static void MemoryPath(char* path) {
  snprintf(path, 64, "%s/%d/mem", proc, (int)victim);
}
static long Poke(int fd) {
  if (fd < 0) return -1;
  const long done = pwrite(fd, "b", 1, (off_t)(uintptr_t)&victims_byte) == 1 ? 0 : -1;
  close(fd);
  return done;
}
static long OpenMemory(char** unused) {
  UNUSED(unused);
  char path[64];
  MemoryPath(path);
  return Poke(open(path, O_RDWR | O_CLOEXEC));
}
static long OpenMemory2(char** unused) {
  UNUSED(unused);
  char path[64];
  MemoryPath(path);
  struct open_how how = {.flags = O_WRONLY | O_CLOEXEC};
  return Poke((int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how));
}
static long CreatMemory(char** unused) {
  UNUSED(unused);
  char path[64];
  MemoryPath(path);
  return Poke(creat(path, 0600));
}
static long RemountedProc(char** unused) {
  mount(NULL, proc, NULL, MS_REMOUNT | MS_BIND, NULL);
  mount(NULL, proc, NULL, MS_REMOUNT, NULL);
  mount("proc", proc, "proc", MS_REMOUNT, "hidepid=0");
  return OpenMemory(unused);
}
static long BoundProc(char** unused) {
  mkdir("/dev/shm/proc", 0777);
  if (mount(proc, "/dev/shm/proc", NULL, MS_BIND | MS_REC, NULL) != 0) return -1;
  mount(NULL, "/dev/shm/proc", NULL, MS_REMOUNT | MS_BIND, NULL);
  proc = "/dev/shm/proc";
  return OpenMemory(unused);
}
static long SecondProc(char** unused) {
  mkdir("/dev/shm/proc", 0777);
  if (mount("proc", "/dev/shm/proc", "proc", 0, NULL) != 0) return -1;
  proc = "/dev/shm/proc";
  if (OpenMemory(unused) == 0) return 0;
  return RemountedProc(unused);
}
static long MagicProc(char** unused) {
  mkdir("/dev/shm/proc", 0777);
  if (mount("proc", "/dev/shm/proc", "proc", MS_MGC_VAL, NULL) != 0) return -1;
  proc = "/dev/shm/proc";
  return OpenMemory(unused);
}
static long NewApi(char** unused) {
  const int context = (int)syscall(430 /* fsopen */, "proc", 0);
  if (context < 0 || syscall(431 /* fsconfig */, context, 6 /* create */, NULL, NULL, 0) != 0)
    return -1;
  const int mounted = (int)syscall(432 /* fsmount */, context, 0, 0);
  char path[64];
  snprintf(path, sizeof path, "%d/mem", (int)victim);
  UNUSED(unused);
  return Poke(openat(mounted, path, O_RDWR | O_CLOEXEC));
}
static long ReopenedDescriptor(char** unused) {
  UNUSED(unused);
  char path[64];
  MemoryPath(path);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return Poke(open(path, O_RDWR | O_CLOEXEC));
}
static long UnderMapsName(char** unused) {
  UNUSED(unused);
  char path[64];
  MemoryPath(path);
  unlink("/dev/shm/uid_map");
  if (symlink(path, "/dev/shm/uid_map") != 0) return -1;
  return Poke(open("/dev/shm/uid_map", O_RDWR | O_CLOEXEC));
}
static char shared_path[64];
static void* Flip(void* memory) {
  for (int i = 0; i < 2000000; ++i) {
    memcpy(shared_path, i % 2 == 0 ? "/proc/self/uid_map" : (const char*)memory, 32);
  }
  return NULL;
}
static long FlippedPath(char** unused) {
  UNUSED(unused);
  char path[64] = "";
  MemoryPath(path);
  memcpy(shared_path, path, 32);
  pthread_t flipper;
  if (pthread_create(&flipper, NULL, Flip, path) != 0) return -1;
  long won = -1;
  for (int i = 0; i < 1000 && won != 0; ++i) won = Poke(open(shared_path, O_RDWR | O_CLOEXEC));
  pthread_join(flipper, NULL);
  return won;
}
static int Memory(char** arguments) {
  static const struct Way ways[] = {{"open", OpenMemory},
                                    {"openat2", OpenMemory2},
                                    {"creat", CreatMemory},
                                    {"remounted", RemountedProc},
                                    {"bound elsewhere", BoundProc},
                                    {"a second procfs", SecondProc},
                                    {"a second procfs, with the old magic", MagicProc},
                                    {"a second procfs by fsopen", NewApi},
                                    {"reopened", ReopenedDescriptor},
                                    {"under a map's name", UnderMapsName},
                                    {"path changes meanwhile", FlippedPath}};
  NEST_OR_GIVE_UP(CLONE_NEWNS | CLONE_NEWPID);
  const pid_t inside = fork();  // the first in the pid namespace
  if (inside != 0) return StatusOf(inside);
  if (mount("tmpfs", "/dev/shm", "tmpfs", 0, NULL) != 0 ||
      mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0)
    exit(NotTried("mount: %s", ErrorName()));
  victim = fork();
  if (victim == 0) {
    while (1) pause();
  }
  const int status = TryWays(ways, COUNT(ways), arguments);
  kill(victim, SIGKILL);
  exit(status);
}

// ---- U5: other namespaces

static long JoinParents(char** unused) {
  UNUSED(unused);
  return setns(open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC), 0);
}
static long JoinChilds(char** unused) {
  UNUSED(unused);
  int ends[2];
  if (pipe(ends) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    char byte = 'x';
    if (unshare(CLONE_NEWUTS) != 0 || write(ends[1], &byte, 1) != 1) _exit(1);
    pause();
  }
  char byte = 0;
  close(ends[1]);
  if (read(ends[0], &byte, 1) != 1) return -1;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/uts", (int)child);
  const long joined = setns(open(path, O_RDONLY | O_CLOEXEC), CLONE_NEWUTS);
  kill(child, SIGKILL);
  StatusOf(child);
  return joined;
}
static int Join(char** arguments) {
  static const struct Way ways[] = {{"init's", JoinParents}, {"a child's", JoinChilds}};
  NEST_OR_GIVE_UP(CLONE_NEWNS);
  return TryWays(ways, COUNT(ways), arguments);
}

// ---- U6: what its capabilities reach

static long MountType(const char* type, const char* data) {
  mkdir("/dev/shm/place", 0777);
  return mount(type, "/dev/shm/place", type, 0, data);
}
#define MOUNT(name, type, data)     \
  static long name(char** unused) { \
    UNUSED(unused);                 \
    return MountType(type, data);   \
  }
MOUNT(MountCgroups, "cgroup2", NULL)
MOUNT(MountRamfs, "ramfs", NULL)
MOUNT(MountOverlay, "overlay", "lowerdir=/usr:/dev/shm")
MOUNT(MountSysfs, "sysfs", NULL)
MOUNT(MountBpf, "bpf", NULL)
MOUNT(MountBinfmt, "binfmt_misc", NULL)
static long MountCgroupsWithMagic(char** unused) {
  UNUSED(unused);
  mkdir("/dev/shm/place", 0777);
  return mount("cgroup2", "/dev/shm/place", "cgroup2", MS_MGC_VAL, NULL);
}
static long Fsopen(char** unused) {
  UNUSED(unused);
  return syscall(430, "tmpfs", 0);
}
static long OpenTree(char** unused) {
  UNUSED(unused);
  return syscall(428, AT_FDCWD, "/dev/shm", 1 /* OPEN_TREE_CLONE */);
}
static long PacketSocket(char** unused) {
  UNUSED(unused);
  return socket(AF_PACKET, SOCK_RAW, 0);
}
static long Netfilter(char** unused) {
  UNUSED(unused);
  return socket(AF_NETLINK, SOCK_RAW, 12);
}
static long RawSocket(char** unused) {
  UNUSED(unused);
  return socket(AF_INET, SOCK_RAW, 1);
}
static long Handle(char** unused) {
  UNUSED(unused);
  struct {
    unsigned bytes;
    int type;
    unsigned char handle[128];
  } handle = {.bytes = 128};
  int mount_id = 0;
  return syscall(SYS_name_to_handle_at, AT_FDCWD, "/usr", &handle, &mount_id, 0);
}
static long TimeNamespace(char** unused) {
  UNUSED(unused);
  return unshare(CLONE_NEWTIME);
}
static long UserFaults(char** unused) {
  UNUSED(unused);
  return syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */);
}
static long Ring(char** unused) {
  UNUSED(unused);
  char parameters[120] = {0};
  return syscall(SYS_io_uring_setup, 1, parameters);
}
static long BpfMap(char** unused) {
  UNUSED(unused);
  unsigned attributes[16] = {2 /* array */, 4, 4, 1};
  return syscall(SYS_bpf, 0 /* BPF_MAP_CREATE */, attributes, sizeof attributes);
}
static long Key(char** unused) {
  UNUSED(unused);
  return syscall(SYS_add_key, "user", "evil", "x", 1, -3);
}
static long Counter(char** unused) {
  UNUSED(unused);
  unsigned attributes[32] = {1 /* software */, sizeof attributes};
  return syscall(SYS_perf_event_open, attributes, 0, -1, -1, 0);
}
static long Device(char** unused) {
  UNUSED(unused);
  return mknod("/dev/shm/null", S_IFCHR | 0666, makedev(1, 3));
}
static long Module(char** unused) {
  UNUSED(unused);
  return syscall(SYS_init_module, "", 0, "");
}
static int Surface(char** arguments) {
  static const struct Way ways[] = {{"cgroup2", MountCgroups},
                                    {"cgroup2 with the old magic", MountCgroupsWithMagic},
                                    {"ramfs", MountRamfs},
                                    {"overlay", MountOverlay},
                                    {"sysfs", MountSysfs},
                                    {"bpf file system", MountBpf},
                                    {"binfmt_misc", MountBinfmt},
                                    {"fsopen", Fsopen},
                                    {"open_tree", OpenTree},
                                    {"packet socket", PacketSocket},
                                    {"netfilter", Netfilter},
                                    {"raw socket", RawSocket},
                                    {"file handle", Handle},
                                    {"time namespace", TimeNamespace},
                                    {"userfaultfd", UserFaults},
                                    {"io_uring", Ring},
                                    {"bpf", BpfMap},
                                    {"add_key", Key},
                                    {"perf", Counter},
                                    {"device", Device},
                                    {"module", Module}};
  NEST_OR_GIVE_UP(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_NEWIPC);
  if (mount("tmpfs", "/dev/shm", "tmpfs", 0, NULL) != 0) return NotTried("tmpfs: %s", ErrorName());
  return TryWays(ways, COUNT(ways), arguments);
}

// ---- U7: out of a root directory

static const char* secret;
static long OutOfChroot(char** unused) {
  UNUSED(unused);
  mkdir("/dev/shm/cage", 0777);
  mkdir("/dev/shm/cage/inner", 0777);
  if (chroot("/dev/shm/cage") != 0) return -1;  // the working directory stays outside
  for (int i = 0; i < 64; ++i) {
    if (chdir("..") != 0) break;
  }
  if (chroot(".") != 0) return -1;
  return Contains(secret, "secret") ? 0 : -1;
}
static long ByOldDescriptor(char** unused) {
  UNUSED(unused);
  const int before = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  mkdir("/dev/shm/cage", 0777);
  if (chroot("/dev/shm/cage") != 0 || chdir("/") != 0 || fchdir(before) != 0) return -1;
  for (int i = 0; i < 64; ++i) {
    if (chdir("..") != 0) break;
  }
  return Contains(secret + 1, "secret") ? 0 : -1;
}
static long BelowOldRoot(char** unused) {
  UNUSED(unused);
  mkdir("/dev/shm/cage", 0777);
  if (mount("tmpfs", "/dev/shm/cage", "tmpfs", 0, NULL) != 0) return -1;
  mkdir("/dev/shm/cage/old", 0777);
  if (syscall(SYS_pivot_root, "/dev/shm/cage", "/dev/shm/cage/old") != 0) return -1;
  char path[1024];
  snprintf(path, sizeof path, "/old%s", secret);
  if (Contains(path, "secret")) return 0;
  snprintf(path, sizeof path, "/old/../..%s", secret);
  return Contains(path, "secret") ? 0 : -1;
}
static int Climb(char** arguments) {
  static const struct Way ways[] = {{"chroot and ..", OutOfChroot},
                                    {"a descriptor from before", ByOldDescriptor},
                                    {"below the old root", BelowOldRoot}};
  secret = arguments[0];
  NEST_OR_GIVE_UP(CLONE_NEWNS);
  return TryWays(ways, COUNT(ways), arguments);
}

// ---- U8: as many namespaces as there are

static int Many(char** arguments) {
  const int wanted = atoi(arguments[0]);
  int made = 0;
  int ends[2];
  if (pipe(ends) != 0) return NotTried("%s", ErrorName());
  NEST_OR_GIVE_UP(0);
  for (; made < wanted; ++made) {
    const pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWIPC | SIGCHLD, 0, 0, 0, 0);
    if (pid < 0) break;
    if (pid == 0) {  // until the first has ended
      char byte = 0;
      close(ends[1]);
      _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
    }
  }
  printf("%d namespaces\n", made);
  close(ends[1]);
  while (wait(NULL) > 0) {
  }
  if (made == 0) return NotTried("none at all");
  return made == wanted ? Won("%d", made) : Held("no more than %d", made);
}

static const struct Attack kAttacks[] = {
    {"unmask", 2, Unmask},      {"unprotect", 1, Unprotect}, {"other-name", 2, OtherName},
    {"memory", 0, Memory},      {"join", 0, Join},           {"surface", 0, Surface},
    {"look-into", 2, LookInto}, {"climb", 1, Climb},         {"many", 1, Many},
};

int main(int argc, char** argv) {
  return RunAttack(kAttacks, COUNT(kAttacks), argc, argv);
}
