/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into a broker: fails, kills or holds it at one of its calls, as a test's plan says
 * (plan.h). Calls that cannot fail (a few random bytes, an unlock, the arming of a timer), or whose
 * failure cannot be answered (memory), are left alone. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/faults/plan.h"

static struct FaultPlan* plan;

/* Before any other constructor: the libraries' own make calls too. */
__attribute__((constructor(101))) static void MapPlan(void) {
  const char* name = getenv("CELLRUN_TEST_FAULTS");
  const int fd = name == NULL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC);
  if (fd < 0) _exit(99);
  void* mapped = mmap(NULL, sizeof(struct FaultPlan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) _exit(99);
  close(fd);
  plan = mapped;
}

/* Until the test has done what it does at this moment; not for ever, should it be gone. */
static void Hold(void) {
  __atomic_store_n(&plan->held, 1, __ATOMIC_RELEASE);
  for (int i = 0; i < 50000 && __atomic_load_n(&plan->held, __ATOMIC_ACQUIRE) != 0; ++i)
    usleep(200);
}

/* The errno to fail with; 0: the call is made. */
static int Fault(const char* call, long detail) {
  if (plan == NULL || __atomic_load_n(&plan->armed, __ATOMIC_ACQUIRE) == 0) return 0;
  const int64_t now = __atomic_add_fetch(&plan->calls, 1, __ATOMIC_RELAXED);
  if (now != __atomic_load_n(&plan->at, __ATOMIC_RELAXED)) return 0;
  const int action = __atomic_load_n(&plan->action, __ATOMIC_RELAXED);
  if (action == kFaultNone) return 0;
  snprintf(plan->fired, sizeof plan->fired, "%s %#lx", call, detail);
  if (action == kFaultKill) kill(getpid(), SIGKILL);
  if (action == kFaultHold) {
    Hold();
    return 0;
  }
  return __atomic_load_n(&plan->error, __ATOMIC_RELAXED);
}

static void* Next(const char* name) {
  void* found = dlsym(RTLD_NEXT, name);
  if (found == NULL) abort();
  return found;
}

/* A function that tells its error by errno and `failed`. */
#define FAULTY(type, failed, name, detail, parameters, ...)   \
  type name parameters {                                      \
    static type(*real) parameters;                            \
    if (real == NULL) real = (type(*) parameters)Next(#name); \
    const int error = Fault(#name, (long)(detail));           \
    if (error != 0) {                                         \
      errno = error;                                          \
      return failed;                                          \
    }                                                         \
    return real(__VA_ARGS__);                                 \
  }
/* One that returns it. */
#define FAULTY_RETURN(name, parameters, ...)                 \
  int name parameters {                                      \
    static int(*real) parameters;                            \
    if (real == NULL) real = (int(*) parameters)Next(#name); \
    const int error = Fault(#name, 0);                       \
    return error != 0 ? error : real(__VA_ARGS__);           \
  }

FAULTY(ssize_t, -1, read, fd, (int fd, void* to, size_t size), fd, to, size)
FAULTY(ssize_t, -1, write, fd, (int fd, const void* from, size_t size), fd, from, size)
FAULTY(ssize_t, -1, pread, fd, (int fd, void* to, size_t size, off_t at), fd, to, size, at)
FAULTY(ssize_t, -1, pread64, fd, (int fd, void* to, size_t size, off64_t at), fd, to, size, at)
FAULTY(ssize_t, -1, pwrite64, fd, (int fd, const void* from, size_t size, off64_t at), fd, from,
       size, at)
FAULTY(ssize_t, -1, recv, fd, (int fd, void* to, size_t size, int flags), fd, to, size, flags)
FAULTY(ssize_t, -1, recvmsg, fd, (int fd, struct msghdr* message, int flags), fd, message, flags)
FAULTY(ssize_t, -1, send, fd, (int fd, const void* from, size_t size, int flags), fd, from, size,
       flags)
FAULTY(ssize_t, -1, sendmsg, fd, (int fd, const struct msghdr* message, int flags), fd, message,
       flags)
FAULTY(int, -1, socket, family, (int family, int type, int protocol), family, type, protocol)
FAULTY(int, -1, socketpair, family, (int family, int type, int protocol, int fds[2]), family, type,
       protocol, fds)
FAULTY(int, -1, accept4, fd, (int fd, struct sockaddr* address, socklen_t* size, int flags), fd,
       address, size, flags)
FAULTY(int, -1, getsockopt, option, (int fd, int level, int option, void* value, socklen_t* size),
       fd, level, option, value, size)
FAULTY(int, -1, setsockopt, option,
       (int fd, int level, int option, const void* value, socklen_t size), fd, level, option, value,
       size)
FAULTY(int, -1, shutdown, fd, (int fd, int how), fd, how)
FAULTY(int, -1, pipe2, flags, (int fds[2], int flags), fds, flags)
FAULTY(int, -1, eventfd, flags, (unsigned count, int flags), count, flags)
FAULTY(int, -1, memfd_create, flags, (const char* name, unsigned flags), name, flags)
FAULTY(int, -1, timerfd_create, clock, (clockid_t clock, int flags), clock, flags)
FAULTY(int, -1, timerfd_settime, fd,
       (int fd, int flags, const struct itimerspec* when, struct itimerspec* old), fd, flags, when,
       old)
FAULTY(int, -1, timer_create, clock, (clockid_t clock, struct sigevent* event, timer_t* timer),
       clock, event, timer)
FAULTY(int, -1, epoll_create1, flags, (int flags), flags)
FAULTY(int, -1, poll, count, (struct pollfd * fds, nfds_t count, int timeout), fds, count, timeout)
FAULTY(int, -1, inotify_init1, flags, (int flags), flags)
FAULTY(int, -1, inotify_add_watch, fd, (int fd, const char* path, uint32_t mask), fd, path, mask)
FAULTY(int, -1, fstat, fd, (int fd, struct stat* facts), fd, facts)
FAULTY(int, -1, fstat64, fd, (int fd, struct stat64* facts), fd, facts)
FAULTY(int, -1, stat64, 0, (const char* path, struct stat64* facts), path, facts)
FAULTY(int, -1, lstat64, 0, (const char* path, struct stat64* facts), path, facts)
FAULTY(int, -1, fstatat, fd, (int fd, const char* path, struct stat* facts, int flags), fd, path,
       facts, flags)
FAULTY(int, -1, fstatfs, fd, (int fd, struct statfs* facts), fd, facts)
FAULTY(int, -1, fstatvfs, fd, (int fd, struct statvfs* facts), fd, facts)
FAULTY(int, -1, statx, fd,
       (int fd, const char* path, int flags, unsigned mask, struct statx* facts), fd, path, flags,
       mask, facts)
FAULTY(ssize_t, -1, readlinkat, fd, (int fd, const char* path, char* to, size_t size), fd, path, to,
       size)
FAULTY(char*, NULL, realpath, 0, (const char* path, char* resolved), path, resolved)
FAULTY(DIR*, NULL, opendir, 0, (const char* path), path)
FAULTY(DIR*, NULL, fdopendir, fd, (int fd), fd)
FAULTY(int, -1, dup2, from, (int from, int to), from, to)
FAULTY(int, -1, flock, operation, (int fd, int operation), fd, operation)
FAULTY(int, -1, fsync, fd, (int fd), fd)
FAULTY(int, -1, fdatasync, fd, (int fd), fd)
FAULTY(int, -1, ftruncate, fd, (int fd, off_t size), fd, size)
FAULTY(int, -1, ftruncate64, fd, (int fd, off64_t size), fd, size)
FAULTY(off_t, -1, lseek, fd, (int fd, off_t at, int from), fd, at, from)
FAULTY(int, -1, mkdirat, fd, (int fd, const char* path, mode_t mode), fd, path, mode)
FAULTY(int, -1, unlinkat, fd, (int fd, const char* path, int flags), fd, path, flags)
FAULTY(int, -1, unlink, 0, (const char* path), path)
FAULTY(int, -1, renameat2, flags,
       (int from, const char* old, int to, const char* path, unsigned flags), from, old, to, path,
       flags)
FAULTY(int, -1, symlinkat, fd, (const char* target, int fd, const char* path), target, fd, path)
FAULTY(int, -1, fchmod, fd, (int fd, mode_t mode), fd, mode)
FAULTY(int, -1, fchown, fd, (int fd, uid_t uid, gid_t gid), fd, uid, gid)
FAULTY(pid_t, -1, fork, 0, (void))
FAULTY(pid_t, -1, waitpid, pid, (pid_t pid, int* status, int options), pid, status, options)
FAULTY(ssize_t, -1, process_vm_readv, pid,
       (pid_t pid, const struct iovec* to, unsigned long tos, const struct iovec* from,
        unsigned long froms, unsigned long flags),
       pid, to, tos, from, froms, flags)
FAULTY(int, -1, prlimit64, resource,
       (pid_t pid, enum __rlimit_resource resource, const struct rlimit64* new,
        struct rlimit64* old),
       pid, resource, new, old)
FAULTY_RETURN(pthread_create,
              (pthread_t * thread, const pthread_attr_t* attributes, void* (*run)(void*),
               void* argument),
              thread, attributes, run, argument)
FAULTY_RETURN(posix_spawnp,
              (pid_t * pid, const char* file, const posix_spawn_file_actions_t* actions,
               const posix_spawnattr_t* attributes, char* const argv[], char* const env[]),
              pid, file, actions, attributes, argv, env)

/* Those with a variable list: all words that the kernel could take are passed on. */
#define WORDS(last)                              \
  va_list list;                                  \
  va_start(list, last);                          \
  unsigned long a = va_arg(list, unsigned long); \
  unsigned long b = va_arg(list, unsigned long); \
  unsigned long c = va_arg(list, unsigned long); \
  unsigned long d = va_arg(list, unsigned long); \
  unsigned long e = va_arg(list, unsigned long); \
  unsigned long f = va_arg(list, unsigned long); \
  va_end(list)
#define FAIL_IF(name, detail)                      \
  do {                                             \
    const int error = Fault(name, (long)(detail)); \
    if (error != 0) {                              \
      errno = error;                               \
      return -1;                                   \
    }                                              \
  } while (0)

int ioctl(int fd, unsigned long request, ...) {
  WORDS(request);
  (void)b, (void)c, (void)d, (void)e, (void)f;
  static int (*real)(int, unsigned long, ...);
  if (real == NULL) real = (int (*)(int, unsigned long, ...))Next("ioctl");
  FAIL_IF("ioctl", request);
  return real(fd, request, a);
}
long ptrace(enum __ptrace_request request, ...) {
  WORDS(request);
  (void)d, (void)e, (void)f;
  static long (*real)(enum __ptrace_request, ...);
  if (real == NULL) real = (long (*)(enum __ptrace_request, ...))Next("ptrace");
  FAIL_IF("ptrace", request);
  return real(request, a, b, c);
}
int openat(int fd, const char* path, int flags, ...) {
  WORDS(flags);
  (void)b, (void)c, (void)d, (void)e, (void)f;
  static int (*real)(int, const char*, int, ...);
  if (real == NULL) real = (int (*)(int, const char*, int, ...))Next("openat");
  FAIL_IF("openat", flags);
  return real(fd, path, flags, (mode_t)a);
}
int open64(const char* path, int flags, ...) {
  WORDS(flags);
  (void)b, (void)c, (void)d, (void)e, (void)f;
  static int (*real)(const char*, int, ...);
  if (real == NULL) real = (int (*)(const char*, int, ...))Next("open64");
  FAIL_IF("open64", flags);
  return real(path, flags, (mode_t)a);
}
int fcntl(int fd, int command, ...) {
  WORDS(command);
  (void)b, (void)c, (void)d, (void)e, (void)f;
  static int (*real)(int, int, ...);
  if (real == NULL) real = (int (*)(int, int, ...))Next("fcntl");
  FAIL_IF("fcntl", command);
  return real(fd, command, a);
}
int fcntl64(int fd, int command, ...) {
  WORDS(command);
  (void)b, (void)c, (void)d, (void)e, (void)f;
  static int (*real)(int, int, ...);
  if (real == NULL) real = (int (*)(int, int, ...))Next("fcntl64");
  /* To unlock a file of a local file system cannot fail. */
  if (command != F_SETLK || ((const struct flock64*)a)->l_type != F_UNLCK)
    FAIL_IF("fcntl64", command);
  return real(fd, command, a);
}
long syscall(long number, ...) {
  WORDS(number);
  static long (*real)(long, ...);
  if (real == NULL) real = (long (*)(long, ...))Next("syscall");
  if (number != SYS_futex && number != SYS_gettid) FAIL_IF("syscall", number);
  return real(number, a, b, c, d, e, f);
}

/* Only a descriptor more costs memory. */
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event* event) {
  static int (*real)(int, int, int, struct epoll_event*);
  if (real == NULL) real = (int (*)(int, int, int, struct epoll_event*))Next("epoll_ctl");
  if (operation == EPOLL_CTL_ADD) FAIL_IF("epoll_ctl", operation);
  return real(epoll, operation, fd, event);
}

int clock_gettime(clockid_t clock, struct timespec* now) {
  static int (*real)(clockid_t, struct timespec*);
  if (real == NULL) real = (int (*)(clockid_t, struct timespec*))Next("clock_gettime");
  const int result = real(clock, now);
  if (result == 0 && plan != NULL && clock == CLOCK_REALTIME)
    now->tv_sec += __atomic_load_n(&plan->wall_shift_s, __ATOMIC_RELAXED);
  return result;
}
