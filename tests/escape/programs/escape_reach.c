// SPDX-License-Identifier: Apache-2.0
// Groups D and E: out of the cell's namespaces, tree, terminal and descriptors.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <linux/mount.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"

#define UNUSED(name) (void)(name)

// ---- D1: namespaces of one's own

static long CloneUser(char** unused) {
  UNUSED(unused);
  const long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  return pid;
}
static long UnshareUser(char** unused) {
  UNUSED(unused);
  return unshare(CLONE_NEWUSER);
}
static long UnshareUserAndNetwork(char** unused) {
  UNUSED(unused);
  return unshare(CLONE_NEWUSER | CLONE_NEWNET);
}
static int UserNamespaces(char** arguments) {
  static const struct Way ways[] = {{"unshare", UnshareUser},
                                    {"unshare with network", UnshareUserAndNetwork},
                                    {"clone", CloneUser}};
  return TryWays(ways, COUNT(ways), arguments);
}
static long UnshareEach(int flag) {
  return unshare(flag);
}
#define UNSHARE(name, flag)         \
  static long name(char** unused) { \
    UNUSED(unused);                 \
    return UnshareEach(flag);       \
  }
UNSHARE(UnshareMounts, CLONE_NEWNS)
UNSHARE(UnshareNetwork, CLONE_NEWNET)
UNSHARE(UnshareIpc, CLONE_NEWIPC)
UNSHARE(UnshareNames, CLONE_NEWUTS)
UNSHARE(UnsharePids, CLONE_NEWPID)
UNSHARE(UnshareCgroups, CLONE_NEWCGROUP)
UNSHARE(UnshareTime, CLONE_NEWTIME)
static long JoinOwn(char** unused) {
  UNUSED(unused);
  return setns(open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC), 0);
}
static long JoinInit(char** unused) {
  UNUSED(unused);
  return setns((int)syscall(SYS_pidfd_open, 1, 0), CLONE_NEWUTS);
}
static long NameHost(char** unused) {
  UNUSED(unused);
  return sethostname("taken", 5);
}
static int Namespaces(char** arguments) {
  static const struct Way ways[] = {
      {"mounts", UnshareMounts},   {"network", UnshareNetwork}, {"ipc", UnshareIpc},
      {"names", UnshareNames},     {"pids", UnsharePids},       {"cgroups", UnshareCgroups},
      {"time", UnshareTime},       {"join its own", JoinOwn},   {"join init's", JoinInit},
      {"name the host", NameHost},
  };
  return TryWays(ways, COUNT(ways), arguments);
}

// ---- D2: mounts. ARGUMENT 0: a directory of the workspace, 1: a read-only one

static long MountTmpfs(char** a) {
  return mount("none", a[0], "tmpfs", 0, NULL);
}
static long Bind(char** a) {
  return mount(a[1], a[0], NULL, MS_BIND, NULL);
}
static long RemountWritable(char** a) {
  (void)mount(a[1], a[1], NULL, MS_BIND, NULL);
  return mount(NULL, a[1], NULL, MS_REMOUNT | MS_BIND, NULL);
}
static long Propagate(char** unused) {
  UNUSED(unused);
  return mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL);
}
static long Unmount(char** unused) {
  UNUSED(unused);
  static const char* const masks[] = {"/proc/kcore",  "/proc/sys", "/dev/pts", "/dev/shm",
                                      "/run/cellrun", "/tmp",      "/proc"};
  for (size_t i = 0; i < COUNT(masks); ++i) {
    if (umount2(masks[i], MNT_DETACH) == 0) return 0;
  }
  return -1;
}
static long OpenFileSystem(char** unused) {
  UNUSED(unused);
  return syscall(SYS_fsopen, "tmpfs", 0);
}
static long OpenTree(char** a) {
  return syscall(SYS_open_tree, AT_FDCWD, a[1], OPEN_TREE_CLONE);
}
static long OpenTreeAttributes(char** a) {
  return syscall(467, AT_FDCWD, a[1], OPEN_TREE_CLONE, NULL, 0);
}
static long SetAttributes(char** a) {
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NODEV};
  (void)mount(a[1], a[1], NULL, MS_BIND, NULL);
  return syscall(SYS_mount_setattr, AT_FDCWD, a[1], 0, &attributes, sizeof attributes);
}
static long Pivot(char** a) {
  (void)mount(a[0], a[0], NULL, MS_BIND, NULL);
  return syscall(SYS_pivot_root, a[0], a[0]);
}
static long ChangeRoot(char** a) {
  return chroot(a[0]);
}
static long MountProc(char** a) {
  return mount("proc", a[0], "proc", 0, NULL);
}
static long MountOverlay(char** a) {
  (void)!mkdir("up", 0777);
  (void)!mkdir("down", 0777);
  return mount("overlay", a[0], "overlay", 0, "lowerdir=down:up");
}
static int Mounts(char** arguments) {
  static const struct Way ways[] = {
      {"tmpfs", MountTmpfs},
      {"bind", Bind},
      {"remount", RemountWritable},
      {"propagation", Propagate},
      {"umount2", Unmount},
      {"fsopen", OpenFileSystem},
      {"open_tree", OpenTree},
      {"open_tree_attr", OpenTreeAttributes},
      {"mount_setattr", SetAttributes},
      {"pivot_root", Pivot},
      {"chroot", ChangeRoot},
      {"proc", MountProc},
      {"overlay", MountOverlay},
  };
  return TryWays(ways, COUNT(ways), arguments);
}
static int FormatHandler(char** arguments) {  // DIRECTORY: A18
  if (mount("binfmt_misc", arguments[0], "binfmt_misc", 0, NULL) != 0)
    return Held("%s", ErrorName());
  return Won("mounted");
}

// A root of one's own making, in which /usr/bin/git is a program of the attacker (A17).
static int OtherRoot(char** arguments) {  // DIRECTORY
  if (chroot(arguments[0]) != 0) return Held("chroot: %s", ErrorName());
  if (chdir("/") != 0) return NotTried("chdir");
  char* argv[] = {(char*)"git", (char*)"as=evil", NULL};
  char* environment[] = {NULL};
  const pid_t pid = fork();
  if (pid == 0) {
    execve("/usr/bin/git", argv, environment);
    _exit(127);
  }
  return StatusOf(pid) == 0 ? Won("it ran") : Held("did not run");
}

// ---- D5, D8: what /proc, /sys and cgroups let one write. Opened only, never written.

static int writable_files;
static const char* const sensitive[] = {"/proc/sysrq-trigger",
                                        "/proc/sys/kernel/core_pattern",
                                        "/proc/sys/kernel/modprobe",
                                        "/proc/sys/kernel/hostname",
                                        "/proc/sys/vm/drop_caches",
                                        "/proc/sys/kernel/panic",
                                        "/proc/sys/fs/binfmt_misc/register",
                                        "/sys/kernel/uevent_helper",
                                        "/proc/irq/default_smp_affinity",
                                        "/proc/kcore",
                                        "/proc/kmsg",
                                        "/proc/mtrr",
                                        "/proc/sys/user/max_user_namespaces",
                                        "/proc/sys/kernel/ns_last_pid",
                                        "/proc/sys/net/ipv4/ip_forward"};
static int CountWritable(const char* path, const struct stat* status, int type, struct FTW* where) {
  UNUSED(where);
  if (type == FTW_D && strncmp(path, "/proc/", 6) == 0 && path[6] >= '0' && path[6] <= '9' &&
      strchr(path + 6, '/') == NULL)
    return FTW_SKIP_SUBTREE;
  if (type != FTW_F || !S_ISREG(status->st_mode)) return FTW_CONTINUE;
  const int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return FTW_CONTINUE;
  close(fd);
  if (++writable_files <= 10) printf("writable: %s\n", path);
  return FTW_CONTINUE;
}
static int KernelFiles(char** unused) {
  UNUSED(unused);
  for (size_t i = 0; i < COUNT(sensitive); ++i) {
    const int fd = open(sensitive[i], O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) continue;
    close(fd);
    ++writable_files;
    printf("writable: %s\n", sensitive[i]);
  }
  // The first steps of a walk are enough to show the point where everything is writable.
  if (writable_files == 0) {
    (void)nftw("/proc", CountWritable, 16, FTW_PHYS | FTW_MOUNT | FTW_ACTIONRETVAL);
    (void)nftw("/sys", CountWritable, 16, FTW_PHYS | FTW_ACTIONRETVAL);
  }
  return writable_files > 0 ? Won("%d files", writable_files) : Held("none");
}
static int KernelSecrets(char** unused) {
  UNUSED(unused);
  static const char* const files[] = {
      "/proc/kallsyms",    "/proc/keys",        "/proc/timer_list",   "/proc/modules",
      "/proc/kcore",       "/proc/kmsg",        "/proc/kpagecount",   "/proc/kpageflags",
      "/proc/vmallocinfo", "/proc/slabinfo",    "/proc/sched_debug",  "/proc/swaps",
      "/sys/kernel/notes", "/sys/kernel/debug", "/proc/latency_stats"};
  int seen = 0;
  for (size_t i = 0; i < COUNT(files); ++i) {
    char buffer[64];
    const int fd = open(files[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const ssize_t count = fd < 0 ? -1 : read(fd, buffer, sizeof buffer);
    if (fd >= 0) close(fd);
    if (count > 0) {
      printf("readable: %s\n", files[i]);
      ++seen;
    }
  }
  return seen > 0 ? Won("%d files", seen) : Held("none");
}
static int found_cgroup;
static int LookForCgroup(const char* path, const struct stat* status, int type, struct FTW* where) {
  UNUSED(status);
  UNUSED(type);
  const char* base = path + where->base;
  if (strcmp(base, "cgroup.procs") != 0 && strcmp(base, "release_agent") != 0 &&
      strcmp(base, "cgroup.subtree_control") != 0)
    return FTW_CONTINUE;
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return FTW_CONTINUE;
  close(fd);
  printf("writable: %s\n", path);
  return found_cgroup = 1, FTW_STOP;
}
static int Cgroups(char** unused) {
  UNUSED(unused);
  (void)nftw("/sys/fs/cgroup", LookForCgroup, 16, FTW_PHYS | FTW_ACTIONRETVAL);
  if (!found_cgroup) (void)nftw("/run", LookForCgroup, 16, FTW_PHYS | FTW_ACTIONRETVAL);
  return found_cgroup ? Won("a cgroup can be written") : Held("none can be written");
}

// ---- D9: devices. ARGUMENT 0: a node of /dev/zero's numbers that somebody put into the workspace

static long MakeCharacterDevice(char** unused) {
  UNUSED(unused);
  unlink("made");
  if (mknod("made", S_IFCHR | 0666, makedev(1, 3)) != 0) return -1;
  return open("made", O_RDWR | O_CLOEXEC);
}
static long MakeBlockDevice(char** unused) {
  UNUSED(unused);
  unlink("made-block");
  return mknod("made-block", S_IFBLK | 0666, makedev(7, 0));
}
static long MakeInTmp(char** unused) {
  UNUSED(unused);
  char name[] = "/tmp/escape.XXXXXX";
  if (mkdtemp(name) == NULL || chdir(name) != 0) return -1;
  const int made = mknod("made", S_IFCHR | 0666, makedev(1, 3));
  unlink("made");
  rmdir(name);
  return made;
}
static long UseNode(char** a) {
  return open(a[0], O_RDWR | O_CLOEXEC);
}
static long HostDevices(char** unused) {
  UNUSED(unused);
  static const char* const names[] = {
      "/dev/mem",   "/dev/kmsg",         "/dev/fuse",       "/dev/kvm",   "/dev/net/tun",
      "/dev/loop0", "/dev/loop-control", "/dev/port",       "/dev/vsock", "/dev/vhost-net",
      "/dev/tty0",  "/dev/console",      "/dev/userfaultfd"};
  for (size_t i = 0; i < COUNT(names); ++i) {
    const int fd = open(names[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) continue;
    printf("  %s\n", names[i]);
    return fd;
  }
  return -1;
}
static int Devices(char** arguments) {
  static const struct Way ways[] = {{"mknod c", MakeCharacterDevice},
                                    {"mknod b", MakeBlockDevice},
                                    {"mknod in /tmp", MakeInTmp},
                                    {"a node in the workspace", UseNode},
                                    {"devices of the host", HostDevices}};
  return TryWays(ways, COUNT(ways), arguments);
}

// ---- D10, D11: sockets of the host

static int sockets_found;
static int ConnectToEach(const char* path, const struct stat* status, int type, struct FTW* where) {
  UNUSED(where);
  if (type == FTW_D && strncmp(path, "/proc", 5) == 0) return FTW_SKIP_SUBTREE;
  if (type == FTW_NS || !S_ISSOCK(status->st_mode)) return FTW_CONTINUE;
  printf("socket: %s\n", path);
  ++sockets_found;
  return FTW_CONTINUE;
}
static int SocketsInTree(char** arguments) {  // ROOT…
  for (; *arguments != NULL; ++arguments)
    (void)nftw(*arguments, ConnectToEach, 32, FTW_PHYS | FTW_ACTIONRETVAL);
  return sockets_found > 0 ? Won("%d sockets", sockets_found) : Held("none in the tree");
}
static int ConnectByPath(char** arguments) {  // PATH…
  int connected = 0, tried = 0;
  for (; *arguments != NULL; ++arguments, ++tried) {
    const int fd = ConnectTo(*arguments);
    printf("%s: %s\n", *arguments, fd < 0 ? ErrorName() : "connected");
    connected += fd >= 0;
    if (fd >= 0) close(fd);
  }
  return connected > 0 ? Won("%d of %d", connected, tried) : Held("none of %d", tried);
}
static socklen_t Abstract(struct sockaddr_un* address, const char* name) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path + 1, name, strlen(name));  // tags are short
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}
static int SendTo(const char* name, int with_connect) {
  struct sockaddr_un address;
  const socklen_t size = Abstract(&address, name);
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (with_connect)
    return connect(fd, (struct sockaddr*)&address, size) == 0 ? (int)write(fd, "x", 1) : -1;
  return (int)sendto(fd, "x", 1, 0, (struct sockaddr*)&address, size);
}

// Things that one process offers and another one looks for: `offer TAG` here, `find TAG` there.
enum { kIpcKey = 0x63726574 };
static key_t KeyOf(const char* tag) {
  unsigned long sum = kIpcKey;
  for (; *tag != '\0'; ++tag) sum = sum * 31 + (unsigned char)*tag;
  return (key_t)(sum & 0x7fffffff) | 1;
}
static int Offer(char** arguments) {  // TAG: holds everything until its input ends
  const char* tag = arguments[0];
  struct sockaddr_un address;
  char name[200];
  snprintf(name, sizeof name, "%s-stream", tag);
  socklen_t size = Abstract(&address, name);
  const int stream = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(stream, (struct sockaddr*)&address, size) != 0 || listen(stream, 16) != 0)
    return NotTried("%s", ErrorName());
  snprintf(name, sizeof name, "%s-datagram", tag);
  size = Abstract(&address, name);
  const int datagram = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (bind(datagram, (struct sockaddr*)&address, size) != 0) return NotTried("%s", ErrorName());
  const int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof inet;
  if (bind(tcp, (struct sockaddr*)&inet, sizeof inet) != 0 || listen(tcp, 16) != 0 ||
      getsockname(tcp, (struct sockaddr*)&inet, &length) != 0)
    return NotTried("%s", ErrorName());
  const int memory = shmget(KeyOf(tag), 4096, IPC_CREAT | 0666);
  const int queue = msgget(KeyOf(tag), IPC_CREAT | 0666);
  snprintf(name, sizeof name, "/%s", tag);
  const mqd_t posix_queue = mq_open(name, O_CREAT | O_RDWR, 0666, NULL);
  const int posix_memory = shm_open(name, O_CREAT | O_RDWR, 0666);
  snprintf(name, sizeof name, "/tmp/%s", tag);
  const int file = open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
  prctl(PR_SET_NAME, tag);
  printf("port %d pid %d\n", ntohs(inet.sin_port), getpid());
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) {
  }
  if (memory >= 0) shmctl(memory, IPC_RMID, NULL);
  if (queue >= 0) msgctl(queue, IPC_RMID, NULL);
  snprintf(name, sizeof name, "/%s", tag);
  if (posix_queue >= 0) mq_unlink(name);
  if (posix_memory >= 0) shm_unlink(name);
  snprintf(name, sizeof name, "/tmp/%s", tag);
  if (file >= 0) unlink(name);
  return 0;
}
static long FindStream(char** a) {
  char name[200];
  struct sockaddr_un address;
  snprintf(name, sizeof name, "%s-stream", a[0]);
  const socklen_t size = Abstract(&address, name);
  return connect(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr*)&address, size);
}
static long FindDatagram(char** a) {
  char name[200];
  snprintf(name, sizeof name, "%s-datagram", a[0]);
  return SendTo(name, 0);
}
static long FindConnectedDatagram(char** a) {
  char name[200];
  snprintf(name, sizeof name, "%s-datagram", a[0]);
  return SendTo(name, 1);
}
static long FindPort(char** a) {
  const struct sockaddr_in inet = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)atoi(a[1])),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  return connect(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), (const struct sockaddr*)&inet,
                 sizeof inet);
}
static long FindPortFast(char** a) {  // data in the first packet, by sendto
  const struct sockaddr_in inet = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)atoi(a[1])),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  return sendto(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "x", 1, MSG_FASTOPEN,
                (const struct sockaddr*)&inet, sizeof inet);
}
static long FindMemory(char** a) {
  return shmget(KeyOf(a[0]), 4096, 0);
}
static long FindQueue(char** a) {
  return msgget(KeyOf(a[0]), 0);
}
static long FindPosixQueue(char** a) {
  char name[200];
  snprintf(name, sizeof name, "/%s", a[0]);
  return mq_open(name, O_RDWR);
}
static long FindPosixMemory(char** a) {
  char name[200];
  snprintf(name, sizeof name, "/%s", a[0]);
  return shm_open(name, O_RDWR, 0);
}
static long FindTemporaryFile(char** a) {
  char name[200];
  snprintf(name, sizeof name, "/tmp/%s", a[0]);
  return open(name, O_RDWR | O_CLOEXEC);
}
static long FindProcess(char** a) {
  DIR* directory = opendir("/proc");
  for (struct dirent* entry = NULL; directory != NULL && (entry = readdir(directory)) != NULL;) {
    char name[300], comm[64] = "";
    snprintf(name, sizeof name, "/proc/%s/comm", entry->d_name);
    FILE* file = fopen(name, "re");
    if (file == NULL) continue;
    const char* read = fgets(comm, sizeof comm, file);
    fclose(file);
    if (read != NULL && strncmp(comm, a[0], 15) == 0 && strlen(comm) > 1 &&
        atoi(entry->d_name) != getpid())
      return 0;
  }
  return -1;
}
static int Find(char** arguments) {  // TAG PORT
  static const struct Way ways[] = {
      {"abstract stream", FindStream},
      {"abstract datagram", FindDatagram},
      {"abstract datagram, connected", FindConnectedDatagram},
      {"port", FindPort},
      {"port, fast open", FindPortFast},
      {"System V memory", FindMemory},
      {"System V queue", FindQueue},
      {"POSIX queue", FindPosixQueue},
      {"POSIX memory", FindPosixMemory},
      {"file in /tmp", FindTemporaryFile},
      {"process", FindProcess},
  };
  return TryWays(ways, COUNT(ways), arguments);
}

// ---- B4: the address that connect gets changes on the way. ARGUMENTS: GOOD-PORT EVIL-PORT TRIES

static struct sockaddr_in* place;
static uint16_t ports[2];
static void* FlipPort(void* unused) {
  UNUSED(unused);
  for (;;) {
    for (int i = 0; i < 2; ++i) {
      __atomic_store_n(&place->sin_port, ports[i], __ATOMIC_SEQ_CST);
      for (volatile int spin = 0; spin < 300; ++spin) {
      }
    }
  }
  return NULL;
}
static int AddressRace(char** a) {
  ports[0] = htons((uint16_t)atoi(a[0]));
  ports[1] = htons((uint16_t)atoi(a[1]));
  static struct sockaddr_in memory = {.sin_family = AF_INET};
  memory.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  place = &memory;
  pthread_t thread;
  if (pthread_create(&thread, NULL, FlipPort, NULL) != 0) return NotTried("pthread_create");
  long connected = 0;
  for (long i = atol(a[2]); i > 0; --i) {
    while (__atomic_load_n(&place->sin_port, __ATOMIC_SEQ_CST) != ports[0]) {
    }
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    connected += connect(fd, (struct sockaddr*)place, sizeof *place) == 0;
    const struct linger reset = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
  }
  printf("connected %ld\n", connected);
  return 0;
}

// ---- D12: signals. ARGUMENTS: a process outside, by its number there

static long Kill(char** a) {
  return kill(atoi(a[0]), SIGKILL);
}
static long KillThread(char** a) {
  return syscall(SYS_tkill, atoi(a[0]), SIGKILL);
}
static long KillThreadOfGroup(char** a) {
  return syscall(SYS_tgkill, atoi(a[0]), atoi(a[0]), SIGKILL);
}
static long QueueSignal(char** a) {
  siginfo_t info = {.si_code = SI_QUEUE};
  return syscall(SYS_rt_sigqueueinfo, atoi(a[0]), SIGKILL, &info);
}
static long KillByDescriptor(char** a) {
  const int fd = (int)syscall(SYS_pidfd_open, atoi(a[0]), 0);
  return fd < 0 ? -1 : syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
}
static long KillByOwner(char** a) {  // the kernel sends it when there is something to read
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return -1;
  if (fcntl(pair[0], F_SETOWN, atoi(a[0])) != 0 || fcntl(pair[0], F_SETSIG, SIGKILL) != 0 ||
      fcntl(pair[0], F_SETFL, O_ASYNC) != 0)
    return -1;
  return write(pair[1], "x", 1) == 1 ? 0 : -1;
}
static int Signals(char** arguments) {
  static const struct Way ways[] = {{"owner of a socket", KillByOwner},
                                    {"kill", Kill},
                                    {"tkill", KillThread},
                                    {"tgkill", KillThreadOfGroup},
                                    {"rt_sigqueueinfo", QueueSignal},
                                    {"pidfd", KillByDescriptor}};
  return TryWays(ways, COUNT(ways), arguments);
}
static int SignalEverybody(char** unused) {  // never where others are
  UNUSED(unused);
  signal(SIGUSR1, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  kill(-1, SIGUSR1);
  kill(-1, SIGTERM);
  kill(0, SIGTERM);
  for (int pid = 2; pid < 32768; ++pid) {
    if (pid != getpid()) kill(pid, SIGKILL);
  }
  for (int group = 2; group < 32768; ++group) {
    if (group != getpgrp()) kill(-group, SIGKILL);
  }
  return Held("whoever is outside lives, or does not");
}
static int OpenProcess(const char* pid) {
  return (int)syscall(SYS_pidfd_open, atoi(pid), 0);
}
static int SendProcess(char** arguments) {  // SOCKET PID
  return HandOut(arguments[0], OpenProcess, arguments[1]);
}
static int ReceivedProcess(char** arguments) {  // SOCKET
  const int peer = ConnectTo(arguments[0]);
  const int fd = peer < 0 ? -1 : ReceiveDescriptor(peer);
  if (fd < 0) return Held("no descriptor arrives: %s", ErrorName());
  int won = syscall(SYS_pidfd_getfd, fd, 0, 0) >= 0;
  won |= syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;
  won |= setns(fd, CLONE_NEWUTS) == 0;
  return won ? Won("it was reached") : Held("%s", ErrorName());
}
// ---- D14: the operator's terminal on descriptor 0

static int TypeForOperator(char** unused) {
  UNUSED(unused);
  static const char typed[] = "touch typed\n";
  int done = 0;
  static const unsigned long requests[] = {TIOCSTI, TIOCSTI | (1UL << 33)};
  const int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
  for (size_t i = 0; i < 4 && !done; ++i) {  // the next way only where the one before types nothing
    for (const char* byte = typed; *byte != '\0'; ++byte)
      done |= syscall(SYS_ioctl, i < 2 ? 0 : tty, requests[i % 2], byte) == 0;
  }
  char paste[] = {3 /* TIOCL_PASTESEL */};
  done |= ioctl(0, TIOCLINUX, paste) == 0;
  return done ? Won("typed") : Held("%s", ErrorName());
}

// ---- D17: identities

static long BecomeRoot(char** unused) {
  UNUSED(unused);
  return setresuid(0, 0, 0);
}
static long BecomeOther(char** unused) {
  UNUSED(unused);
  return setresuid(12345, 12345, 12345);
}
static long JoinGroup(char** unused) {
  UNUSED(unused);
  const gid_t groups[] = {0, 6 /* disk */};
  return setgroups(2, groups);
}
static long DropGroups(char** unused) {  // a file may be refused to a group that one is in
  UNUSED(unused);
  return setgroups(0, NULL);
}
static long RightsThroughMap(char** unused) {
  UNUSED(unused);
  const int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
  return fd < 0 ? -1 : write(fd, "0 0 1\n", 6);
}
static int Identities(char** arguments) {
  static const struct Way ways[] = {{"root", BecomeRoot},
                                    {"somebody", BecomeOther},
                                    {"groups", JoinGroup},
                                    {"no groups", DropGroups},
                                    {"uid_map", RightsThroughMap}};
  return TryWays(ways, COUNT(ways), arguments);
}

// ---- D19: a process that stays

static int Daemon(char** arguments) {  // FILE: appears when it is there
  if (fork() == 0) {
    setsid();
    for (int signal_number = 1; signal_number < 65; ++signal_number) signal(signal_number, SIG_IGN);
    if (fork() != 0) _exit(0);
    prctl(PR_SET_NAME, "escape-daemon");
    prctl(PR_SET_PDEATHSIG, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    const int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; ++fd) dup2(null, fd);
    close(open(arguments[0], O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
    for (;;) pause();
  }
  while (access(arguments[0], F_OK) != 0) usleep(1000);
  return Won("it runs");
}

// ---- D20: kinds of sockets

static int Families(char** unused) {
  UNUSED(unused);
  static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_RDM};
  static const int protocols[] = {0, 1, 6, 17, 58, 132, 136, 255, 262 /* MPTCP */};
  int made = 0;
  for (int family = 0; family < 64; ++family) {
    for (size_t t = 0; t < COUNT(types); ++t) {
      for (size_t p = 0; p < COUNT(protocols); ++p) {
        const int fd = socket(family, types[t], protocols[p]);
        if (fd < 0) continue;
        close(fd);
        const int inet = family == AF_INET || family == AF_INET6;
        const int plain = types[t] == SOCK_STREAM || types[t] == SOCK_DGRAM;
        const int usual = protocols[p] == 0 || protocols[p] == 6 || protocols[p] == 17;
        if (family == AF_UNIX || (family == AF_NETLINK && protocols[p] == 0) ||
            (inet && plain && usual))
          continue;
        if (++made <= 10) printf("family %d type %d protocol %d\n", family, types[t], protocols[p]);
      }
    }
  }
  for (int protocol = 1; protocol < 32; ++protocol) {
    const int fd = socket(AF_NETLINK, SOCK_RAW, protocol);
    if (fd < 0) continue;
    close(fd);
    if (++made <= 20) printf("netlink %d\n", protocol);
  }
  return made > 0 ? Won("%d kinds", made) : Held("none");
}

// ---- E1, E2: descriptors

static int Descriptors(char** unused) {
  UNUSED(unused);
  int found = 0;
  DIR* processes = opendir("/proc");
  for (struct dirent* entry = NULL; processes != NULL && (entry = readdir(processes)) != NULL;) {
    char name[300];
    snprintf(name, sizeof name, "/proc/%s/fd", entry->d_name);
    const int self = strcmp(entry->d_name, "self") == 0;
    if (!self && atoi(entry->d_name) < 2) continue;
    DIR* list = opendir(name);
    if (list == NULL) continue;
    for (struct dirent* one = NULL; (one = readdir(list)) != NULL;) {
      char target[4096] = "";
      if (readlinkat(dirfd(list), one->d_name, target, sizeof target - 1) < 0) continue;
      const int number = atoi(one->d_name);
      const int kernel_object = strncmp(target, "anon_inode:", 11) == 0;
      const int ours = number == dirfd(list) || number == dirfd(processes);
      if (kernel_object || (self && number > 2 && !ours)) {
        printf("%s %d %s\n", entry->d_name, number, target);
        ++found;
      }
    }
    closedir(list);
  }
  return found > 0 ? Won("%d descriptors", found) : Held("none");
}

// ---- E3: up and out from every directory that is open. ARGUMENT: a file outside, absolute

static int Climb(char** arguments) {
  int reached = 0;
  for (int start = -1; start < 64; ++start) {
    char name[64];
    if (start >= 0) snprintf(name, sizeof name, "/proc/self/fd/%d", start);
    int fd = open(start < 0 ? "." : name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (int step = 0; fd >= 0 && step < 40; ++step) {
      struct stat status;
      if (fstatat(fd, arguments[0] + 1, &status, 0) == 0) {
        ++reached;
        break;
      }
      const int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
      close(fd);
      fd = up;
    }
    if (fd >= 0) close(fd);
  }
  return reached > 0 ? Won("from %d directories", reached) : Held("from none");
}

// ---- E6: the supervisor's own descriptors appear in the table of a task whose exec is redirected

static volatile int scanning = 1;
static volatile long extra, writable_shims;
static void* Scan(void* unused) {
  UNUSED(unused);
  while (scanning) {
    for (int fd = 3; fd < 64; ++fd) {
      if (fcntl(fd, F_GETFD) < 0) continue;
      ++extra;
      char name[64];
      snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
      (void)!fchmod(fd, 0777);
      (void)!ftruncate(fd, 0);
      const int opened = open(name, O_WRONLY | O_CLOEXEC);
      // Another thread may have put standard output there, which is a pipe.
      struct stat status;
      if (opened >= 0 && fstat(opened, &status) == 0 && S_ISREG(status.st_mode)) ++writable_shims;
      dup2(1, fd);  // and something else under the redirect
      close(fd);
    }
  }
  return NULL;
}
static void ExecInTable(const char* path) {
  char* argv[] = {(char*)"mark", (char*)"as=evil", NULL};
  char* environment[] = {NULL};
  pthread_t thread;
  for (int i = 0; i < 3; ++i) pthread_create(&thread, NULL, Scan, NULL);
  usleep(500);
  execve(path, argv, environment);
}
static int InjectedDescriptor(char** arguments) {  // PROGRAM, denied with an explanation; TRIES
  long ran = 0;
  for (long i = atol(arguments[1]); i > 0; --i) {
    const pid_t pid = fork();
    if (pid == 0) {
      const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
      dup2(null, 2);
      close(null);
      ExecInTable(arguments[0]);
      _exit(writable_shims > 0 ? kWon : 127);
    }
    const int status = StatusOf(pid);
    ran += status == 0 || status == kWon;
  }
  return ran > 0 ? Won("%ld times", ran) : Held("never");
}
// A parent's table stays as it was, however its children are answered.
static int TableAfterDenials(char** arguments) {  // PROGRAM, denied
  int ends[2];
  if (pipe(ends) != 0 || dup2(ends[0], 100) < 0 || dup2(ends[1], 3) < 0) return NotTried("pipe");
  char* argv[] = {(char*)"mark", (char*)"as=evil", NULL};
  char* environment[] = {NULL};
  int before = 0, after = 0;
  for (int fd = 0; fd < 1024; ++fd) before += fcntl(fd, F_GETFD) >= 0;
  int ran = 0;
  for (int i = 0; i < 100; ++i) {
    const pid_t pid = vfork();
    if (pid == 0) {
      execve(arguments[0], argv, environment);
      _exit(127);
    }
    ran += StatusOf(pid) == 0;
  }
  for (int fd = 0; fd < 1024; ++fd) after += fcntl(fd, F_GETFD) >= 0;
  char byte = 0;
  const int intact = write(ends[1], "y", 1) == 1 && read(100, &byte, 1) == 1 && byte == 'y';
  if (!intact || before != after || ran > 0)
    return Won("%d descriptors before, %d after, pipe %d, ran %d", before, after, intact, ran);
  return Held("%d before and after", before);
}

// ---- X4: the shim in a role that nobody gave it. ARGUMENT: a denied program

static const char* ordered;
static void AsShim(char* const argv[], int with_socket) {
  int pair[2] = {-1, -1};
  if (with_socket && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0) _exit(kNotTried);
  const pid_t pid = fork();
  if (pid == 0) {
    if (with_socket) dup2(pair[1], 3);
    char* environment[] = {NULL};
    execve("/run/cellrun/shim", argv, environment);
    _exit(127);
  }
  if (with_socket) {
    close(pair[1]);
    for (unsigned char type = 0; type < 32; ++type) {  // orders, as far as one can guess them
      char message[512] = {0};
      message[0] = (char)type;
      snprintf(message + 64, sizeof message - 64, "%s", ordered);
      (void)!send(pair[0], message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    usleep(50000);
    close(pair[0]);
  } else {
    usleep(50000);
  }
  kill(pid, SIGKILL);
  printf("%s: status %d\n", argv[0], StatusOf(pid));
}
static int ShimRoles(char** arguments) {
  ordered = arguments[0];
  char* const init[] = {(char*)"init", NULL};
  char* const shim[] = {(char*)"/run/cellrun/shim", arguments[0], (char*)"as=evil", NULL};
  char* const program[] = {arguments[0], (char*)"as=evil", NULL};
  char* const none[] = {NULL};
  char* const* const forms[] = {init, shim, program, none};
  for (size_t i = 0; i < COUNT(forms); ++i) {
    AsShim(forms[i], 0);
    AsShim(forms[i], 1);
  }
  return Held("whether it ran is seen outside");
}

static const struct Attack kAttacks[] = {
    {"user-namespaces", 0, UserNamespaces},
    {"namespaces", 0, Namespaces},
    {"mounts", 2, Mounts},
    {"format-handler", 1, FormatHandler},
    {"other-root", 1, OtherRoot},
    {"kernel-files", 0, KernelFiles},
    {"kernel-secrets", 0, KernelSecrets},
    {"cgroups", 0, Cgroups},
    {"devices", 1, Devices},
    {"sockets-in-tree", 1, SocketsInTree},
    {"connect-by-path", 1, ConnectByPath},
    {"offer", 1, Offer},
    {"find", 2, Find},
    {"address-race", 3, AddressRace},
    {"signals", 1, Signals},
    {"signal-everybody", 0, SignalEverybody},
    {"send-process", 2, SendProcess},
    {"received-process", 1, ReceivedProcess},
    {"type-for-operator", 0, TypeForOperator},
    {"identities", 0, Identities},
    {"daemon", 1, Daemon},
    {"families", 0, Families},
    {"descriptors", 0, Descriptors},
    {"climb", 1, Climb},
    {"injected-descriptor", 2, InjectedDescriptor},
    {"table-after-denials", 1, TableAfterDenials},
    {"shim-roles", 1, ShimRoles},
};

int main(int argc, char** argv) {
  return RunAttack(kAttacks, COUNT(kAttacks), argc, argv);
}
