// SPDX-License-Identifier: Apache-2.0
#include "attack.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int Say(int status, const char* word, const char* format, va_list arguments) {
  printf("%s: ", word);
  vprintf(format, arguments);
  printf("\n");
  fflush(stdout);
  return status;
}
#define SAY(name, status, word)       \
  int name(const char* format, ...) { \
    va_list list;                     \
    va_start(list, format);           \
    Say(status, word, format, list);  \
    va_end(list);                     \
    return status;                    \
  }
SAY(Won, kWon, "won")
SAY(Held, kHeld, "held")
SAY(NotTried, kNotTried, "not tried")

const char* ErrorName(void) {
  const char* name = strerrorname_np(errno);
  return name == NULL ? "unknown errno" : name;
}

int StatusOf(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int InChild(long (*run)(char** arguments), char** arguments) {
  fflush(stdout);
  const pid_t pid = fork();
  if (pid < 0) return -1;
  if (pid == 0) {
    errno = 0;
    const long result = run(arguments);
    if (result >= 0) _exit(0);
    printf("  %s\n", ErrorName());
    fflush(stdout);
    _exit(1);
  }
  return StatusOf(pid);
}

int TryWays(const struct Way* ways, size_t count, char** arguments) {
  size_t won = 0;
  for (size_t i = 0; i < count; ++i) {
    printf("%s\n", ways[i].name);
    const int status = InChild(ways[i].run, arguments);
    if (status == 0) {
      ++won;
      printf("  succeeded: %s\n", ways[i].name);
    } else if (status != 1) {
      printf("  status %d\n", status);
    }
  }
  return won > 0 ? Won("%zu of %zu ways", won, count) : Held("none of %zu ways", count);
}

int RunAttack(const struct Attack* attacks, size_t count, int argc, char** argv) {
  for (size_t i = 0; i < count && argc > 1; ++i) {
    if (strcmp(attacks[i].name, argv[1]) != 0) continue;
    if (argc - 2 < attacks[i].arguments) return NotTried("%s needs more arguments", argv[1]);
    return attacks[i].run(argv + 2);
  }
  return NotTried("no attack %s", argc > 1 ? argv[1] : "");
}

static int UnixSocket(const char* path, struct sockaddr_un* address) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (strlen(path) >= sizeof address->sun_path) return -1;
  strcpy(address->sun_path, path);
  return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}
int ConnectTo(const char* path) {
  struct sockaddr_un address;
  const int fd = UnixSocket(path, &address);
  if (fd < 0) return -1;
  if (connect(fd, (struct sockaddr*)&address, sizeof address) == 0) return fd;
  const int saved = errno;
  close(fd);
  errno = saved;
  return -1;
}
int ListenOn(const char* path) {
  struct sockaddr_un address;
  const int fd = UnixSocket(path, &address);
  if (fd < 0 || bind(fd, (struct sockaddr*)&address, sizeof address) != 0 || listen(fd, 16) != 0)
    return -1;
  return fd;
}

union Control {
  struct cmsghdr header;
  char space[CMSG_SPACE(sizeof(int))];
};
static int SendDescriptor(int socket, int fd) {
  union Control control = {0};
  char byte = 'x';
  struct iovec data = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  return sendmsg(socket, &message, MSG_NOSIGNAL) == 1 ? 0 : -1;
}
int HandOut(const char* path, int (*open_one)(const char* argument), const char* argument) {
  const int listener = ListenOn(path);
  if (listener < 0 || chmod(path, 0777) != 0) return NotTried("%s", ErrorName());
  printf("listening\n");
  fflush(stdout);
  for (;;) {
    const int peer = accept(listener, NULL, NULL);
    const int fd = open_one(argument);
    if (peer < 0 || fd < 0 || SendDescriptor(peer, fd) != 0) return NotTried("%s", ErrorName());
    close(fd);
    close(peer);
  }
}
int ReceiveDescriptor(int socket) {
  union Control control = {0};
  char byte = 0;
  struct iovec data = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1) return -1;
  const struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == NULL || header->cmsg_type != SCM_RIGHTS) return -1;
  int fd = -1;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}
