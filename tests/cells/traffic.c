// SPDX-License-Identifier: Apache-2.0
// traffic: both ends of what is measured about a network. Clients print "MEDIAN P99", nanoseconds
// of one operation, or "NANOSECONDS" of all of it.
//   serve ADDRESS SINK ECHO           says "up SINK ECHO", serves these ports (0: any) until its
//                                     input ends
//   connect|request|kept ADDRESS PORT COUNT
//                                     a connection each; and a message there and back on it; a
//                                     message there and back on one connection
//   stream ADDRESS PORT CONNECTIONS BYTES    in all, until the sink has everything
//   storm ADDRESS PORT THREADS COUNT  connections as fast as they come about
//   hold ADDRESS PORT COUNT           connections that do nothing; says "up"
//   pour ADDRESS PORT                 bytes until it is killed; says "up"
//   ask ADDRESS NAME COUNT            queries for an address
//   flood ADDRESS NAME RATE           queries a second below NAME until it is killed; says "up"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kChunk = 128 * 1024, kMessage = 64, kDnsPort = 53, kMaxThreads = 64 };

static char chunk[kChunk];

static void Fail(const char* what) {
  perror(what);
  exit(1);
}

static long long Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static struct sockaddr_in Address(const char* address, int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, address, &to.sin_addr) != 1) Fail(address);
  return to;
}

static int Connect(const struct sockaddr_in* to) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) Fail("socket");
  if (connect(fd, (const struct sockaddr*)to, sizeof *to) != 0) Fail("connect");
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

// By a reset: thousands of connections a second leave no ports waiting.
static void Drop(int fd) {
  const struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

static void Exchange(int fd) {
  char message[kMessage] = "there and back";
  if (send(fd, message, sizeof message, MSG_NOSIGNAL) != sizeof message) Fail("send");
  if (recv(fd, message, sizeof message, MSG_WAITALL) != sizeof message) Fail("recv");
}

static int Compare(const void* a, const void* b) {
  const long long x = *(const long long*)a, y = *(const long long*)b;
  return (x > y) - (x < y);
}

static int Report(long long* times, long count) {
  qsort(times, (size_t)count, sizeof *times, Compare);
  printf("%lld %lld\n", times[count / 2], times[count * 99 / 100]);
  free(times);
  return 0;
}

static long long* Times(long count) {
  long long* times = calloc((size_t)(count > 0 ? count : 1), sizeof *times);
  if (times == NULL || count < 1) exit(2);
  return times;
}

static void Say(const char* what) {
  puts(what);
  fflush(stdout);
}

// ---- The server.

static int Listen(const char* address, int port) {
  const struct sockaddr_in at = Address(address, port);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (const struct sockaddr*)&at, sizeof at) != 0 || listen(fd, 4096) != 0)
    Fail("listen");
  return fd;
}

static int PortOf(int fd) {
  struct sockaddr_in at = {0};
  socklen_t size = sizeof at;
  if (getsockname(fd, (struct sockaddr*)&at, &size) != 0) Fail("getsockname");
  return ntohs(at.sin_port);
}

static void Watch(int epoll, int fd, int kind) {
  struct epoll_event event = {.events = EPOLLIN};
  event.data.u64 = (uint64_t)kind << 32 | (uint32_t)fd;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) Fail("epoll_ctl");
}

enum { kInput, kSinkPort, kEchoPort, kSink, kEcho };

static void Admit(int epoll, int listener, int kind) {
  int fd = -1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    Watch(epoll, fd, kind);
  }
}

static void Take(int fd, int kind) {
  const ssize_t got = recv(fd, chunk, sizeof chunk, 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got > 0 && kind == kSink) return;
  if (got > 0 && send(fd, chunk, (size_t)got, MSG_NOSIGNAL) == got) return;
  if (got == 0 && kind == kSink) (void)!send(fd, "k", 1, MSG_NOSIGNAL);
  close(fd);
}

static int Serve(char** argv) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  const int sink = Listen(argv[0], atoi(argv[1])), echo = Listen(argv[0], atoi(argv[2]));
  Watch(epoll, 0, kInput);
  Watch(epoll, sink, kSinkPort);
  Watch(epoll, echo, kEchoPort);
  printf("up %d %d\n", PortOf(sink), PortOf(echo));
  fflush(stdout);
  for (;;) {
    struct epoll_event events[64];
    const int count = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < count; ++i) {
      const int kind = (int)(events[i].data.u64 >> 32), fd = (int)(uint32_t)events[i].data.u64;
      if (kind == kInput && read(0, chunk, sizeof chunk) <= 0) return 0;
      if (kind == kSinkPort || kind == kEchoPort) Admit(epoll, fd, kind + kSink - kSinkPort);
      if (kind == kSink || kind == kEcho) Take(fd, kind);
    }
  }
}

// ---- Clients.

static int TimeConnects(char** argv, int exchanges) {
  const struct sockaddr_in to = Address(argv[0], atoi(argv[1]));
  const long count = atol(argv[2]);
  long long* times = Times(count);
  for (long i = 0; i < count; ++i) {
    const long long begin = Now();
    const int fd = Connect(&to);
    if (exchanges) Exchange(fd);
    times[i] = Now() - begin;
    Drop(fd);
  }
  return Report(times, count);
}

static int RunConnect(char** argv) {
  return TimeConnects(argv, 0);
}
static int RunRequest(char** argv) {
  return TimeConnects(argv, 1);
}

static int RunKept(char** argv) {
  const struct sockaddr_in to = Address(argv[0], atoi(argv[1]));
  const long count = atol(argv[2]);
  long long* times = Times(count);
  const int fd = Connect(&to);
  for (int i = 0; i < 100; ++i) Exchange(fd);
  for (long i = 0; i < count; ++i) {
    const long long begin = Now();
    Exchange(fd);
    times[i] = Now() - begin;
  }
  Drop(fd);
  return Report(times, count);
}

static int RunStream(char** argv) {
  const struct sockaddr_in to = Address(argv[0], atoi(argv[1]));
  const int count = atoi(argv[2]);
  const long long share = atoll(argv[3]) / (count > 0 ? count : 1);
  struct pollfd* ends = calloc((size_t)count, sizeof *ends);
  long long* left = Times(count);
  for (int i = 0; i < count; ++i) {
    ends[i] = (struct pollfd){.fd = Connect(&to), .events = POLLOUT};
    fcntl(ends[i].fd, F_SETFL, O_NONBLOCK);
    left[i] = share;
  }
  const long long begin = Now();
  for (int open = count; open > 0;) {
    if (poll(ends, (nfds_t)count, -1) < 0) Fail("poll");
    for (int i = 0; i < count; ++i) {
      if (ends[i].revents == 0) continue;
      if (left[i] > 0) {
        const size_t size = left[i] < kChunk ? (size_t)left[i] : kChunk;
        const ssize_t sent = send(ends[i].fd, chunk, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) Fail("send");
        if (sent > 0) left[i] -= sent;
        if (left[i] > 0) continue;
        shutdown(ends[i].fd, SHUT_WR);
        ends[i].events = POLLIN;
        continue;
      }
      char done = 0;
      if (recv(ends[i].fd, &done, 1, 0) != 1 || done != 'k') Fail("recv");
      close(ends[i].fd);
      ends[i].fd = -1;
      --open;
    }
  }
  printf("%lld\n", Now() - begin);
  return 0;
}

struct Crowd {
  struct sockaddr_in to;
  long each;
};

static void* ConnectMany(void* given) {
  const struct Crowd* crowd = given;
  for (long i = 0; i < crowd->each; ++i) Drop(Connect(&crowd->to));
  return NULL;
}

static int RunStorm(char** argv) {
  const int threads = atoi(argv[2]);
  if (threads < 1 || threads > kMaxThreads) return 2;
  struct Crowd crowd = {Address(argv[0], atoi(argv[1])), atol(argv[3]) / threads};
  pthread_t ids[kMaxThreads];
  const long long begin = Now();
  for (int i = 0; i < threads; ++i) {
    if (pthread_create(&ids[i], NULL, ConnectMany, &crowd) != 0) Fail("pthread_create");
  }
  for (int i = 0; i < threads; ++i) pthread_join(ids[i], NULL);
  printf("%lld\n", Now() - begin);
  return 0;
}

static int RunHold(char** argv) {
  const struct sockaddr_in to = Address(argv[0], atoi(argv[1]));
  for (int left = atoi(argv[2]); left > 0; --left) Exchange(Connect(&to));
  Say("up");
  char byte = 0;
  while (read(0, &byte, 1) > 0) {
  }
  return 0;
}

static int RunPour(char** argv) {
  const struct sockaddr_in to = Address(argv[0], atoi(argv[1]));
  const int fd = Connect(&to);
  Say("up");
  while (send(fd, chunk, sizeof chunk, MSG_NOSIGNAL) > 0) {
  }
  return 1;
}

// ---- Names.

static size_t WriteQuery(unsigned char* query, unsigned id, const char* name) {
  const unsigned char head[12] = {(unsigned char)(id >> 8), (unsigned char)id, 1, 0, 0, 1};
  memcpy(query, head, sizeof head);
  size_t size = sizeof head;
  while (*name != '\0') {
    const size_t label = strcspn(name, ".");
    query[size++] = (unsigned char)label;
    memcpy(query + size, name, label);
    size += label;
    name += label + (name[label] == '.');
  }
  const unsigned char tail[5] = {0, 0, 1, 0, 1};
  memcpy(query + size, tail, sizeof tail);
  return size + sizeof tail;
}

static int ConnectResolver(const char* address) {
  const struct sockaddr_in to = Address(address, kDnsPort);
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (connect(fd, (const struct sockaddr*)&to, sizeof to) != 0) Fail("connect");
  return fd;
}

static int RunAsk(char** argv) {
  const int fd = ConnectResolver(argv[0]);
  const long count = atol(argv[2]);
  long long* times = Times(count);
  const struct timeval limit = {.tv_sec = 5};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  for (long i = 0; i < count; ++i) {
    unsigned char query[512], answer[1024];
    const size_t size = WriteQuery(query, (unsigned)i, argv[1]);
    const long long begin = Now();
    if (send(fd, query, size, 0) != (ssize_t)size) Fail("send");
    const ssize_t got = recv(fd, answer, sizeof answer, 0);
    times[i] = Now() - begin;
    if (got < 12 || memcmp(answer, query, 2) != 0 || answer[7] == 0) Fail("answer");
  }
  return Report(times, count);
}

__attribute__((noreturn)) static int RunFlood(char** argv) {
  const int fd = ConnectResolver(argv[0]);
  const long rate = atol(argv[2]);
  const long long begin = Now();
  Say("up");
  for (long sent = 0;; ++sent) {
    char name[300];
    unsigned char query[512], answer[1024];
    snprintf(name, sizeof name, "n%ld.%.200s", sent % 100000, argv[1]);
    (void)!send(fd, query, WriteQuery(query, (unsigned)sent, name), MSG_DONTWAIT);
    while (recv(fd, answer, sizeof answer, MSG_DONTWAIT) > 0) {
    }
    const struct timespec rest = {0, 500000};
    while ((Now() - begin) / 1000 * rate / 1000000 < sent) nanosleep(&rest, NULL);
  }
}

struct Mode {
  const char* name;
  int words;
  int (*run)(char** argv);
};
static const struct Mode kModes[] = {
    {"serve", 3, Serve},    {"connect", 3, RunConnect}, {"request", 3, RunRequest},
    {"kept", 3, RunKept},   {"stream", 4, RunStream},   {"storm", 4, RunStorm},
    {"hold", 3, RunHold},   {"pour", 2, RunPour},       {"ask", 3, RunAsk},
    {"flood", 3, RunFlood},
};

int main(int argc, char** argv) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  for (size_t i = 0; argc > 1 && i < sizeof kModes / sizeof *kModes; ++i) {
    if (strcmp(argv[1], kModes[i].name) == 0 && argc == kModes[i].words + 2)
      return kModes[i].run(argv + 2);
  }
  return 2;
}
