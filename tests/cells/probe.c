// SPDX-License-Identifier: Apache-2.0
// probe VERB [ARGUMENT…]: does one thing that a cell should or should not be able to do and prints
// what came of it: "ok", or the name of the errno. The same program run outside shows that the
// attempt works there.
#include <asm/unistd.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/bpf.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char* Name(long result) {
  if (result >= 0) return "ok";
  const char* name = strerrorname_np(errno);
  return name == NULL ? "unknown errno" : name;
}

static int Say(long result) {
  printf("%s\n", Name(result));
  return 0;
}

// ---- programs

static int Exec(char** arguments) {
  execv(arguments[0], arguments);
  return Say(-1);
}

static int ExecEmptyName(char** arguments) {  // execveat(fd, "", AT_EMPTY_PATH)
  const int fd = open(arguments[0], O_PATH | O_CLOEXEC);
  if (fd < 0) return Say(-1);
  syscall(SYS_execveat, fd, "", arguments, environ, AT_EMPTY_PATH);
  return Say(-1);
}

static int CopyInto(const char* from, int to) {
  const int source = open(from, O_RDONLY | O_CLOEXEC);
  if (source < 0) return -1;
  char buffer[65536];
  for (ssize_t count = 0; (count = read(source, buffer, sizeof buffer)) > 0;) {
    if (write(to, buffer, (size_t)count) != count) return -1;
  }
  close(source);
  return 0;
}

static int ExecMemory(char** arguments) {
  const int fd = memfd_create("payload", MFD_CLOEXEC);
  if (fd < 0 || CopyInto(arguments[0], fd) != 0) return Say(-1);
  fexecve(fd, arguments, environ);
  return Say(-1);
}

static int ExecDeleted(char** arguments) {
  int fd = open("deleted-image", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
  if (fd < 0 || CopyInto(arguments[0], fd) != 0) return Say(-1);
  close(fd);
  fd = open("deleted-image", O_RDONLY | O_CLOEXEC);
  unlink("deleted-image");
  syscall(SYS_execveat, fd, "", arguments, environ, AT_EMPTY_PATH);
  return Say(-1);
}

static int ExecWhileOthersDo(char** arguments) {  // every thread execs at once; one of them wins
  extern void* ExecInThread(void*);
  pthread_t ids[8];
  for (int i = 0; i < 8; ++i) pthread_create(&ids[i], NULL, ExecInThread, arguments);
  for (int i = 0; i < 8; ++i) pthread_join(ids[i], NULL);
  return 1;
}
void* ExecInThread(void* arguments) {
  char** argv = arguments;
  execv(argv[0], argv);
  return NULL;
}

// ---- system calls, each by a name

static long TraceChild(void) {
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  const long result = ptrace(PTRACE_SEIZE, child, NULL, NULL);
  const int saved = errno;
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  errno = saved;
  return result;
}

static long ReadChildMemory(void) {
  static char secret[] = "secret";
  char copy[sizeof secret];
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  struct iovec local = {copy, sizeof copy}, remote = {secret, sizeof secret};
  const long result = syscall(SYS_process_vm_readv, child, &local, 1, &remote, 1, 0);
  const int saved = errno;
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  errno = saved;
  return result;
}

static long WriteOwnMemoryFile(void) {  // stands for /proc/PID/mem of a sibling
  static volatile char target = 'a';
  const int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
  if (fd < 0) return -1;
  return pwrite(fd, "b", 1, (off_t)(uintptr_t)&target);
}

static long CloneUserNamespace(void) {
  const long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  if (pid > 0) waitpid((pid_t)pid, NULL, 0);
  return pid;
}

static long CloneSharedDirectory(
    void) {  // CLONE_FS without CLONE_THREAD: a sibling could move our cwd
  const long pid = syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  if (pid > 0) waitpid((pid_t)pid, NULL, 0);
  return pid;
}

static long Clone3(void) {
  struct clone_args arguments = {.exit_signal = SIGCHLD};
  const long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid == 0) _exit(0);
  if (pid > 0) waitpid((pid_t)pid, NULL, 0);
  return pid;
}

static long PushTerminalInput(void) {
  char byte = 'x';
  const int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
  return ioctl(fd < 0 ? 0 : fd, TIOCSTI, &byte);
}

static long MakeDevice(void) {
  const long result = mknod("made-device", S_IFCHR | 0600, makedev(1, 3));
  if (result == 0) unlink("made-device");
  return result;
}

static long OpenByHandle(void) {
  struct {
    struct file_handle handle;
    unsigned char bytes[MAX_HANDLE_SZ];
  } place = {.handle = {.handle_bytes = MAX_HANDLE_SZ}};
  int mount = 0;
  return name_to_handle_at(AT_FDCWD, "/", &place.handle, &mount, 0);
}

static long Bpf(void) {
  union bpf_attr attributes = {0};
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = 4;
  attributes.value_size = 4;
  attributes.max_entries = 1;
  return syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes);
}

static long Perf(void) {
  struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE,
                                       .size = sizeof attributes,
                                       .config = PERF_COUNT_SW_TASK_CLOCK,
                                       .exclude_kernel = 1};
  return syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
}

static long Uring(void) {
  struct io_uring_params parameters = {0};
  return syscall(SYS_io_uring_setup, 4, &parameters);
}

static long Aio(void) {
  aio_context_t context = 0;
  return syscall(SYS_io_setup, 1, &context);
}

static long AddKey(void) {
  return syscall(SYS_add_key, "user", "cellrun-probe", "x", 1, KEY_SPEC_PROCESS_KEYRING);
}
static long KeyControl(void) {
  return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
}
static long UnshareUser(void) {
  return unshare(CLONE_NEWUSER);
}
static long UnshareMounts(void) {
  return unshare(CLONE_NEWNS);
}
static long MountTmpfs(void) {
  return mount("none", "/tmp", "tmpfs", 0, NULL);
}
static long NewMountApi(void) {
  return syscall(SYS_fsopen, "tmpfs", 0);
}
static long OpenTree(void) {
  return syscall(SYS_open_tree, AT_FDCWD, "/usr", 1 /* OPEN_TREE_CLONE */);
}
static long ChangeRoot(void) {
  return chroot("/");
}
static long JoinNamespace(void) {
  const int fd = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
  return setns(fd, 0);
}
static long FaultFd(void) {
  return syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* user mode only */);
}
static long OldPersonality(void) {
  return personality(PER_LINUX32);
}
static long NoRandomize(void) {
  return personality(ADDR_NO_RANDOMIZE);
}
static long HostName(void) {
  return sethostname("taken", 5);
}
static long KernelLog(void) {
  return syscall(SYS_syslog, 2, NULL, 0);
}
static long Tracer(void) {
  return prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
}
static long SetMemoryMap(void) {
  return prctl(PR_SET_MM, PR_SET_MM_BRK, 0, 0, 0);
}
static long UnknownCall(void) {
  return syscall(1999);
}
static long X32Call(void) {
  return syscall(0x40000000 | SYS_getpid);
}
static long PacketSocket(void) {
  return socket(AF_PACKET, SOCK_RAW, 0);
}
static long RawSocket(void) {
  return socket(AF_INET, SOCK_RAW, 1);
}
static long VsockSocket(void) {
  return socket(AF_VSOCK, SOCK_STREAM, 0);
}
static long UnixSocket(void) {
  return socket(AF_UNIX, SOCK_STREAM, 0);
}
static long InetSocket(void) {
  return socket(AF_INET, SOCK_STREAM, 0);
}
static long RouteSocket(void) {
  return socket(AF_NETLINK, SOCK_RAW, 0);
}
static long AuditSocket(void) {
  return socket(AF_NETLINK, SOCK_RAW, 9);
}
static long LimitInit(void) {
  struct {
    uint64_t soft, hard;
  } limit = {0, 0};
  return syscall(SYS_prlimit64, 1, 7 /* RLIMIT_NOFILE */, &limit, NULL);
}
static long SlowInit(void) {
  return syscall(SYS_setpriority, 0 /* PRIO_PROCESS */, 1, 19);
}
static long KillInit(void) {  // the kernel shields init from its own namespace's signals
  return kill(1, SIGKILL);
}
static long GetInitFd(void) {
  const int fd = (int)syscall(SYS_pidfd_open, 1, 0);
  if (fd < 0) return -1;
  return syscall(SYS_pidfd_getfd, fd, 3, 0);
}
static long NestedListener(void) {
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, NULL);
}
static long GrowLimit(void) {
  return setpriority(0, 0, -5);
}

struct Call {
  const char* name;
  long (*run)(void);
};
static const struct Call kCalls[] = {
    {"ptrace", TraceChild},
    {"process-vm-readv", ReadChildMemory},
    {"proc-mem-write", WriteOwnMemoryFile},
    {"unshare-user", UnshareUser},
    {"unshare-mounts", UnshareMounts},
    {"clone-user", CloneUserNamespace},
    {"clone-fs", CloneSharedDirectory},
    {"clone3", Clone3},
    {"mount", MountTmpfs},
    {"fsopen", NewMountApi},
    {"open-tree", OpenTree},
    {"chroot", ChangeRoot},
    {"setns", JoinNamespace},
    {"tiocsti", PushTerminalInput},
    {"mknod-device", MakeDevice},
    {"name-to-handle", OpenByHandle},
    {"bpf", Bpf},
    {"perf", Perf},
    {"io-uring", Uring},
    {"io-setup", Aio},
    {"add-key", AddKey},
    {"keyctl", KeyControl},
    {"userfaultfd", FaultFd},
    {"personality-32", OldPersonality},
    {"personality-no-randomize", NoRandomize},
    {"sethostname", HostName},
    {"syslog", KernelLog},
    {"set-ptracer", Tracer},
    {"set-mm", SetMemoryMap},
    {"unknown", UnknownCall},
    {"x32", X32Call},
    {"packet-socket", PacketSocket},
    {"raw-socket", RawSocket},
    {"vsock-socket", VsockSocket},
    {"unix-socket", UnixSocket},
    {"inet-socket", InetSocket},
    {"route-socket", RouteSocket},
    {"audit-socket", AuditSocket},
    {"prlimit-init", LimitInit},
    {"setpriority-init", SlowInit},
    {"kill-init", KillInit},
    {"init-fd", GetInitFd},
    {"nested-listener", NestedListener},
    {"renice", GrowLimit},
};

static int SystemCalls(char** arguments) {
  for (; *arguments != NULL; ++arguments) {
    const struct Call* found = NULL;
    for (size_t i = 0; i < sizeof kCalls / sizeof *kCalls; ++i) {
      if (strcmp(kCalls[i].name, *arguments) == 0) found = &kCalls[i];
    }
    if (found == NULL) {
      fprintf(stderr, "no call %s\n", *arguments);
      return 2;
    }
    // Apart: what one changes must not colour the next.
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      errno = 0;
      printf("%s: %s\n", found->name, Name(found->run()));
      fflush(stdout);
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) printf("%s: killed by %d\n", found->name, WTERMSIG(status));
  }
  return 0;
}

// ---- what is there

static int Descriptors(char** unused) {
  (void)unused;
  DIR* directory = opendir("/proc/self/fd");
  if (directory == NULL) return Say(-1);
  for (struct dirent* entry = NULL; (entry = readdir(directory)) != NULL;) {
    const int fd = atoi(entry->d_name);
    if (entry->d_name[0] == '.' || fd == dirfd(directory)) continue;
    char target[4096];
    const ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
    target[length < 0 ? 0 : length] = '\0';
    printf("%d %s\n", fd, target);
  }
  return 0;
}

static void* Idle(void* unused) {
  (void)unused;
  pause();
  return NULL;
}

static int Threads(char** unused) {  // the Seccomp and NoNewPrivs line of each thread
  (void)unused;
  pthread_t id;
  for (int i = 0; i < 3; ++i) pthread_create(&id, NULL, Idle, NULL);
  DIR* directory = opendir("/proc/self/task");
  for (struct dirent* entry = NULL; directory != NULL && (entry = readdir(directory)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    char path[300], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
    FILE* file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
      if (strncmp(line, "Seccomp:", 8) == 0 || strncmp(line, "NoNewPrivs:", 11) == 0)
        fputs(line, stdout);
    }
    if (file != NULL) fclose(file);
  }
  fflush(stdout);
  _exit(0);
}

static int Daemon(char** arguments) {  // leaves a process that outlives everything, and says so
  if (fork() != 0) return 0;
  setsid();
  signal(SIGHUP, SIG_IGN);
  if (fork() != 0) _exit(0);
  const int fd = open(arguments[0], O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd >= 0) dprintf(fd, "running\n");
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int i = 0; i < 3; ++i) dup2(null, i);
  for (;;) pause();
}

static int Flood(char** arguments) {  // that many bytes of a known sequence on standard output
  const long long total = atoll(arguments[0]);
  uint32_t state = 1;
  static unsigned char buffer[65536];
  for (long long done = 0; done < total;) {
    size_t size = sizeof buffer;
    if (total - done < (long long)size) size = (size_t)(total - done);
    for (size_t i = 0; i < size; ++i) {
      state = state * 1664525 + 1013904223;
      buffer[i] = (unsigned char)(state >> 24);
    }
    for (size_t at = 0; at < size;) {
      const ssize_t count = write(1, buffer + at, size - at);
      if (count <= 0) return 1;
      at += (size_t)count;
    }
    done += (long long)size;
  }
  return 0;
}

static int CountArguments(char** arguments) {
  long count = 0;
  long long bytes = 0;
  for (; arguments[count] != NULL; ++count) bytes += (long long)strlen(arguments[count]) + 1;
  long variables = 0;
  long long environment = 0;
  for (; environ[variables] != NULL; ++variables)
    environment += (long long)strlen(environ[variables]) + 1;
  printf("%ld arguments, %lld bytes; environment %lld bytes\n", count, bytes, environment);
  return 0;
}

static int OpenWrite(char** arguments) {
  return Say(open(arguments[0], O_WRONLY | O_CLOEXEC));
}
static int OpenRead(char** arguments) {
  return Say(open(arguments[0], O_RDONLY | O_CLOEXEC));
}

static int CloseStreams(char** arguments) {  // ends its output and goes on until the file appears
  close(1);
  while (access(arguments[0], F_OK) != 0) poll(NULL, 0, 5);
  dprintf(2, "after\n");
  return 0;
}

static int ExitWith(char** arguments) {
  return atoi(arguments[0]);
}
static int KillSelf(char** arguments) {
  signal(atoi(arguments[0]), SIG_DFL);
  return raise(atoi(arguments[0]));
}

struct Verb {
  const char* name;
  int arguments;  // at least
  int (*run)(char**);
};
static const struct Verb kVerbs[] = {
    {"exec", 1, Exec},
    {"exec-empty-name", 1, ExecEmptyName},
    {"exec-memory", 1, ExecMemory},
    {"exec-deleted", 1, ExecDeleted},
    {"exec-threads", 1, ExecWhileOthersDo},
    {"sys", 1, SystemCalls},
    {"fds", 0, Descriptors},
    {"threads", 0, Threads},
    {"daemon", 1, Daemon},
    {"flood", 1, Flood},
    {"count", 0, CountArguments},
    {"open-write", 1, OpenWrite},
    {"open-read", 1, OpenRead},
    {"close-output", 1, CloseStreams},
    {"exit", 1, ExitWith},
    {"kill-self", 1, KillSelf},
};

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  for (size_t i = 0; i < sizeof kVerbs / sizeof *kVerbs; ++i) {
    if (strcmp(kVerbs[i].name, argv[1]) == 0 && argc - 2 >= kVerbs[i].arguments) {
      return kVerbs[i].run(argv + 2);
    }
  }
  fprintf(stderr, "probe: no verb %s\n", argv[1]);
  return 2;
}
