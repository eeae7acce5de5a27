// SPDX-License-Identifier: Apache-2.0
// torrent: connections of every manner, whose bytes both ends know and compare one by one.
//   serve ADDRESS PORT             says "up PORT" (0: any), serves until its input ends; then
//                                  "served COUNT", and 1 if anything was not as agreed
//   drive ADDRESS PORT SEED COUNT PARALLEL BYTES [MANNER]
//                                  so many connections, of BYTES in a direction at most; then
//                                  "drove COUNT BYTES"
// A connection begins with its plan, which the server acknowledges by a byte.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kChunk = 96 * 1024, kPatienceMs = 30000, kStack = 512 * 1024, kMaxThreads = 1200 };

// ---- What each end does, and must see of the other one.

enum Ends {
  kShut,      // after its last byte; closes when the other one has ended too
  kClose,     // right after its last byte, without a word
  kReset,     // after its last byte
  kLeave,     // closes where it has read some, and more is there
  kShutReset  // resets after the other one has acknowledged the end
};
enum Sees { kAll, kBroken, kEndThenBroken };  // kAll: every byte, then the end
enum Sends { kNothing, kNow, kAfterEnd };     // of the other one

struct Role {
  enum Sends sends;
  enum Ends ends;
  enum Sees sees;
  int urgent;  // some bytes are
};
struct Manner {
  const char* name;
  struct Role client, server;
};
static const struct Manner kManners[] = {
    {"both", {kNow, kShut, kAll, 0}, {kNow, kShut, kAll, 0}},
    {"question-first", {kNow, kShut, kAll, 0}, {kAfterEnd, kShut, kAll, 0}},
    {"greeting-first", {kAfterEnd, kShut, kAll, 0}, {kNow, kShut, kAll, 0}},
    {"client-closes", {kNow, kClose, kAll, 0}, {kNothing, kClose, kAll, 0}},
    {"server-closes", {kNothing, kClose, kAll, 0}, {kNow, kClose, kAll, 0}},
    {"client-resets", {kNow, kReset, kAll, 0}, {kNow, kShut, kBroken, 0}},
    {"server-resets", {kNow, kShut, kBroken, 0}, {kNow, kReset, kAll, 0}},
    {"client-leaves", {kNothing, kLeave, kAll, 0}, {kNow, kShut, kBroken, 0}},
    {"server-leaves", {kNow, kShut, kBroken, 0}, {kNothing, kLeave, kAll, 0}},
    {"client-ends-resets", {kNow, kShutReset, kAll, 0}, {kNothing, kShut, kEndThenBroken, 0}},
    {"server-ends-resets", {kNothing, kShut, kEndThenBroken, 0}, {kNow, kShutReset, kAll, 0}},
    {"urgent", {kNow, kShut, kAll, 1}, {kNow, kShut, kAll, 1}},
};
enum { kMannerCount = sizeof kManners / sizeof *kManners };

struct Plan {
  uint64_t seed, up, down;
  uint32_t manner, pauses;
};

// ---- Bytes.

static uint64_t Mix(uint64_t at) {
  at += 0x9e3779b97f4a7c15u;
  at = (at ^ (at >> 30)) * 0xbf58476d1ce4e5b9u;
  at = (at ^ (at >> 27)) * 0x94d049bb133111ebu;
  return at ^ (at >> 31);
}

// The bytes of a direction from `at` on; where they begin in `room`, of 8 more than `size`.
static const char* Bytes(uint64_t seed, uint64_t at, size_t size, uint64_t* room) {
  const uint64_t first = at / 8;
  for (size_t i = 0; i < size / 8 + 2; ++i)
    room[i] = Mix(seed ^ ((first + i) * 0x2545f4914f6cdd1du));
  return (const char*)room + at % 8;
}

static uint64_t Random(uint64_t* state, uint64_t below) {
  *state = Mix(*state + 1);
  return *state % below;
}

static void Rest(uint64_t microseconds) {
  const struct timespec rest = {0, (long)microseconds * 1000};
  nanosleep(&rest, NULL);
}

static long long Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

// ---- One end.

struct End {
  int fd;
  const struct Role* role;
  uint64_t tx_seed, rx_seed, sends, expects, sent, got, random;
  uint32_t pauses;  // one turn in so many
  int shut, ended;
  int error;  // the connection's, once it is broken
  uint64_t* room;
  char why[160];
};

static int Wrong(struct End* end, const char* what) {
  snprintf(end->why, sizeof end->why, "%s; sent %llu of %llu, got %llu of %llu, error %s", what,
           (unsigned long long)end->sent, (unsigned long long)end->sends,
           (unsigned long long)end->got, (unsigned long long)end->expects,
           end->error ? strerrorname_np(end->error) : "none");
  return -1;
}

static int Receive(struct End* end) {
  static _Thread_local char bytes[kChunk];
  size_t size = Random(&end->random, 4) == 0 ? 1 + Random(&end->random, 300)
                                             : 1 + Random(&end->random, sizeof bytes);
  const uint64_t keeps = end->expects - end->got;  // the last byte is never read there
  if (end->role->ends == kLeave && size >= keeps) size = keeps - 1;
  const ssize_t got = recv(end->fd, bytes, size, MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return 0;
  if (got < 0) end->error = errno;
  if (got == 0) end->ended = 1;
  if (got <= 0) return 0;
  if (end->got + (uint64_t)got > end->expects) return Wrong(end, "more came than was sent");
  if (memcmp(bytes, Bytes(end->rx_seed, end->got, (size_t)got, end->room), (size_t)got) != 0)
    return Wrong(end, "other bytes came");
  end->got += (uint64_t)got;
  return 0;
}

static void Send(struct End* end) {
  const uint64_t left = end->sends - end->sent;
  uint64_t size = Random(&end->random, 4) == 0 ? 1 + Random(&end->random, 300)
                                               : 1 + Random(&end->random, kChunk);
  if (size > left) size = left;
  int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  if (end->role->urgent && Random(&end->random, 4) == 0) flags |= MSG_OOB;
  const char* bytes = Bytes(end->tx_seed, end->sent, (size_t)size, end->room);
  const ssize_t sent = send(end->fd, bytes, (size_t)size, flags);
  if (sent >= 0) end->sent += (uint64_t)sent;
  if (sent < 0 && errno != EAGAIN) end->error = errno;
}

static int MaySend(const struct End* end) {
  if (end->sent == end->sends || end->error) return 0;
  return end->role->sends == kNow || (end->role->sends == kAfterEnd && end->ended);
}

// Until both directions have ended, the role ends earlier, or the connection is broken.
static int Exchange(struct End* end) {
  const uint64_t leave_at = end->expects / 2;
  for (;;) {
    const int done = end->sent == end->sends;
    if (end->role->ends == kLeave && end->got >= leave_at) return 0;
    if (done && (end->role->ends == kClose || end->role->ends == kReset) &&
        end->role->sends == kNow)
      return 0;
    if (done && !end->shut && !end->error && end->role->ends != kLeave &&
        (end->role->sends != kNothing || end->ended)) {
      if (end->role->sends == kNothing && end->role->sees == kEndThenBroken) return 0;
      end->shut = 1;
      if (shutdown(end->fd, SHUT_WR) != 0) end->error = errno;
      if (end->role->ends == kShutReset) return 0;
    }
    if (end->error || (end->ended && end->shut)) return 0;
    short events = (short)((end->ended ? 0 : POLLIN) | (MaySend(end) ? POLLOUT : 0));
    struct pollfd ready = {.fd = end->fd, .events = events};
    if (poll(&ready, 1, kPatienceMs) != 1) return Wrong(end, "stuck");
    if (end->pauses && Random(&end->random, end->pauses) == 0) Rest(Random(&end->random, 4000));
    if ((ready.revents & POLLOUT) != 0) Send(end);
    if ((ready.revents & ~POLLOUT) != 0 && !end->ended && Receive(end) != 0) return -1;
    if (end->ended && (ready.revents & POLLERR) != 0 && !end->error) {
      socklen_t size = sizeof end->error;
      getsockopt(end->fd, SOL_SOCKET, SO_ERROR, &end->error, &size);
    }
  }
}

// The other one reads the end, says so by a byte, and waits for the reset.
static int AwaitByte(struct End* end) {
  struct pollfd ready = {.fd = end->fd, .events = POLLIN};
  char byte = 0;
  if (poll(&ready, 1, kPatienceMs) != 1) return Wrong(end, "stuck before the reset");
  if (recv(end->fd, &byte, 1, MSG_DONTWAIT) == 1) return 0;
  end->error = errno;
  return Wrong(end, "no byte before the reset");
}
static int AwaitBroken(struct End* end) {
  if (send(end->fd, "e", 1, MSG_NOSIGNAL) != 1) return Wrong(end, "the end's own byte");
  struct pollfd ready = {.fd = end->fd, .events = 0};
  if (poll(&ready, 1, kPatienceMs) != 1) return Wrong(end, "the reset did not come");
  socklen_t size = sizeof end->error;
  getsockopt(end->fd, SOL_SOCKET, SO_ERROR, &end->error, &size);
  return 0;
}

static int Finish(struct End* end) {
  struct pollfd more = {.fd = end->fd, .events = POLLIN};
  if (end->role->ends == kShutReset && AwaitByte(end) != 0) return -1;
  if (end->role->sees == kEndThenBroken && AwaitBroken(end) != 0) return -1;
  if (end->role->ends == kLeave && (poll(&more, 1, kPatienceMs) != 1 || (more.revents & POLLERR)))
    return Wrong(end, "nothing was left to leave");
  if (end->role->ends == kReset || end->role->ends == kShutReset) {
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  const int reads = end->role->ends == kShut || (end->role->ends == kClose && end->ended);
  if (!reads) return end->error ? Wrong(end, "broken before its end") : 0;
  const int broken = end->error == ECONNRESET || end->error == EPIPE || end->error == ENOTCONN;
  if (end->role->sees != kAll) return broken ? 0 : Wrong(end, "no reset was seen");
  if (end->error || end->got != end->expects || end->sent != end->sends)
    return Wrong(end, "not everything came");
  return 0;
}

static atomic_long failures, finished;
static atomic_ullong moved;

static void Play(int fd, const struct Plan* plan, int is_client) {
  const struct Manner* manner = &kManners[plan->manner];
  struct End end = {.fd = fd,
                    .role = is_client ? &manner->client : &manner->server,
                    .tx_seed = plan->seed + !is_client,
                    .rx_seed = plan->seed + is_client,
                    .sends = is_client ? plan->up : plan->down,
                    .expects = is_client ? plan->down : plan->up,
                    .random = plan->seed + 7 + (uint64_t)is_client,
                    .pauses = plan->pauses,
                    .room = malloc(kChunk + 32)};
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
  const long long begin = Now();
  if (Exchange(&end) != 0 || Finish(&end) != 0) {
    atomic_fetch_add(&failures, 1);
    fprintf(stderr, "%s of %s %llx after %lld ms: %s\n", is_client ? "client" : "server",
            manner->name, (unsigned long long)plan->seed, (Now() - begin) / 1000000, end.why);
  }
  atomic_fetch_add(&finished, 1);
  atomic_fetch_add(&moved, end.sent + end.got);
  free(end.room);
  close(fd);
}

static void Start(void* (*run)(void*), void* given) {
  pthread_attr_t attributes;
  pthread_t id;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStack);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  if (pthread_create(&id, &attributes, run, given) != 0) {
    perror("pthread_create");
    exit(1);
  }
}

static struct sockaddr_in Address(const char* address, int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, address, &to.sin_addr) != 1) exit(2);
  return to;
}

// ---- The server.

static atomic_long serving;

static void* Serve(void* given) {
  const int fd = (int)(intptr_t)given;
  struct Plan plan;
  if (recv(fd, &plan, sizeof plan, MSG_WAITALL) == sizeof plan && plan.manner < kMannerCount &&
      send(fd, "p", 1, MSG_NOSIGNAL) == 1) {
    Play(fd, &plan, 0);
  } else {
    atomic_fetch_add(&failures, 1);
    fprintf(stderr, "server: no plan: %s\n", strerror(errno));
    close(fd);
  }
  atomic_fetch_sub(&serving, 1);
  return NULL;
}

static int RunServe(char** argv) {
  struct sockaddr_in at = Address(argv[0], atoi(argv[1]));
  socklen_t size = sizeof at;
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr*)&at, sizeof at) != 0 || listen(listener, 4096) != 0 ||
      getsockname(listener, (struct sockaddr*)&at, &size) != 0) {
    perror("listen");
    return 1;
  }
  printf("up %d\n", ntohs(at.sin_port));
  fflush(stdout);
  for (int open = 1; open || atomic_load(&serving) > 0;) {
    struct pollfd ready[] = {{.fd = listener, .events = POLLIN},
                             {.fd = open ? 0 : -1, .events = POLLIN}};
    if (poll(ready, 2, 20) < 0) return 1;
    char byte;
    if (ready[1].revents != 0 && read(0, &byte, 1) <= 0) open = 0;
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
      atomic_fetch_add(&serving, 1);
      Start(Serve, (void*)(intptr_t)fd);
    }
  }
  printf("served %ld\n", atomic_load(&finished));
  return atomic_load(&failures) != 0;
}

// ---- The client.

static struct {
  struct sockaddr_in to;
  uint64_t seed;
  long count;
  uint64_t bytes;
  int manner;  // -1: every one in turn
} task;
static atomic_long next, running;

// Half of them do not block until it has come about.
static int Connect(uint64_t* random) {
  const int later = Random(random, 2) == 0;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (later ? SOCK_NONBLOCK : 0), 0);
  int code = connect(fd, (struct sockaddr*)&task.to, sizeof task.to) == 0 ? 0 : errno;
  if (code == EINPROGRESS) {
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    socklen_t size = sizeof code;
    if (poll(&ready, 1, kPatienceMs) != 1)
      code = ETIMEDOUT;
    else
      getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size);
  }
  if (later) fcntl(fd, F_SETFL, 0);
  if (code == 0) return fd;
  close(fd);
  errno = code;
  return -1;
}

static uint64_t Size(uint64_t* random) {
  switch (Random(random, 4)) {
    case 0:
      return 1 + Random(random, 16);
    case 1:
      return 1 + Random(random, 9000);  // about as much as a relay copies
    default:
      return 1 + Random(random, task.bytes);
  }
}

static void DriveOne(long index) {
  uint64_t random = Mix(task.seed * 1000003 + (uint64_t)index);
  struct Plan plan = {.seed = Mix(random), .up = Size(&random), .down = Size(&random)};
  plan.manner = (uint32_t)(task.manner >= 0 ? task.manner : index % kMannerCount);
  plan.pauses = Random(&random, 3) == 0 ? 3 : 0;
  const struct Manner* manner = &kManners[plan.manner];
  if (manner->client.sends == kNothing) plan.up = 0;
  if (manner->server.sends == kNothing) plan.down = 0;
  if (manner->client.ends == kLeave && plan.down < 2) plan.down = 2;
  if (manner->server.ends == kLeave && plan.up < 2) plan.up = 2;
  const int fd = Connect(&random);
  char byte = 0;
  if (fd >= 0 && send(fd, &plan, sizeof plan, MSG_NOSIGNAL) == sizeof plan &&
      recv(fd, &byte, 1, MSG_WAITALL) == 1)
    return Play(fd, &plan, 1);
  atomic_fetch_add(&failures, 1);
  fprintf(stderr, "client of %s: %s: %s\n", manner->name, fd < 0 ? "connect" : "plan",
          strerror(errno));
  if (fd >= 0) close(fd);
}

static void* Drive(void* given) {
  for (long index; (index = atomic_fetch_add(&next, 1)) < task.count;) DriveOne(index);
  atomic_fetch_sub(&running, 1);
  return given;
}

static int RunDrive(char** argv, int with_manner) {
  const long parallel = atol(argv[4]);
  task.to = Address(argv[0], atoi(argv[1]));
  task.seed = strtoull(argv[2], NULL, 10);
  task.count = atol(argv[3]);
  task.bytes = strtoull(argv[5], NULL, 10);
  task.manner = -1;
  for (int i = 0; with_manner && i < kMannerCount; ++i) {
    if (strcmp(argv[6], kManners[i].name) == 0) task.manner = i;
  }
  if (parallel < 1 || parallel > kMaxThreads || task.bytes < 1 || (with_manner && task.manner < 0))
    return 2;
  atomic_store(&running, parallel);
  for (long i = 0; i < parallel; ++i) Start(Drive, NULL);
  while (atomic_load(&running) > 0) Rest(1000);
  printf("drove %ld %llu\n", atomic_load(&finished), atomic_load(&moved));
  return atomic_load(&failures) != 0;
}

int main(int argc, char** argv) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (argc == 4 && strcmp(argv[1], "serve") == 0) return RunServe(argv + 2);
  if ((argc == 8 || argc == 9) && strcmp(argv[1], "drive") == 0)
    return RunDrive(argv + 2, argc == 9);
  return 2;
}
