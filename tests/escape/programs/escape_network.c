// SPDX-License-Identifier: Apache-2.0
// escape_network ATTACK GOOD EVIL [TRIES]: reaches the TCP or UDP port EVIL of the host's loopback,
// where a rule lets out GOOD only. Whether it got there is counted outside.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

static in_port_t good, evil;

// What leads to the host's loopback, here.
static const char* Host(void) {
  return getenv("CELLRUN") != NULL ? "198.18.0.1" : "127.0.0.1";
}
static struct sockaddr_in Host4(in_port_t port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = port};
  inet_pton(AF_INET, Host(), &address.sin_addr);
  return address;
}
static void TakePorts(char** arguments) {
  good = htons((uint16_t)atoi(arguments[0]));
  evil = htons((uint16_t)atoi(arguments[1]));
}

// ---- Ways that need no race.

static long Plain(char** arguments) {
  TakePorts(arguments);
  const struct sockaddr_in to = Host4(evil);
  return connect(socket(AF_INET, SOCK_STREAM, 0), (const struct sockaddr*)&to, sizeof to);
}
static long Mapped(char** arguments) {
  TakePorts(arguments);
  struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = evil};
  char text[64];
  snprintf(text, sizeof text, "::ffff:%s", Host());
  inet_pton(AF_INET6, text, &to.sin6_addr);
  return connect(socket(AF_INET6, SOCK_STREAM, 0), (const struct sockaddr*)&to, sizeof to);
}
// The data goes with the SYN, without connect(2).
static long FastOpen(char** arguments) {
  TakePorts(arguments);
  const struct sockaddr_in to = Host4(evil);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (sendto(fd, "x", 1, MSG_FASTOPEN, (const struct sockaddr*)&to, sizeof to) < 0) return -1;
  char byte;
  return recv(fd, &byte, 1, 0) == 1 ? 0 : -1;
}
static long FastOpenConnect(char** arguments) {
  TakePorts(arguments);
  const struct sockaddr_in to = Host4(evil);
  const int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on);
  return connect(fd, (const struct sockaddr*)&to, sizeof to) < 0 || send(fd, "x", 1, 0) < 0 ? -1
                                                                                            : 0;
}
// A socket that was let out once is dissolved and connected anew.
static long Again(char** arguments) {
  TakePorts(arguments);
  struct sockaddr_in to = Host4(good);
  const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (const struct sockaddr*)&to, sizeof to) != 0) return -1;
  connect(fd, &nowhere, sizeof nowhere);
  to = Host4(evil);
  return connect(fd, (const struct sockaddr*)&to, sizeof to);
}
static long NonBlocking(char** arguments) {
  TakePorts(arguments);
  const struct sockaddr_in to = Host4(evil);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (connect(fd, (const struct sockaddr*)&to, sizeof to) != 0 && errno != EINPROGRESS) return -1;
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  char byte;
  return poll(&wait, 1, 3000) == 1 && recv(fd, &byte, 1, 0) == 1 ? 0 : -1;
}
static int Streams(char** arguments) {
  static const struct Way kWays[] = {
      {"plain", Plain},        {"mapped", Mapped},
      {"fast-open", FastOpen}, {"fast-open-connect", FastOpenConnect},
      {"again", Again},        {"non-blocking", NonBlocking}};
  return TryWays(kWays, COUNT(kWays), arguments);
}

// ---- Datagrams: the call succeeds either way, and what arrives is counted outside.

static int Datagrams(char** arguments) {
  TakePorts(arguments);
  struct sockaddr_in to = Host4(evil);
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  sendto(fd, "one", 3, 0, (const struct sockaddr*)&to, sizeof to);
  struct iovec data = {.iov_base = "two", .iov_len = 3};
  struct mmsghdr many[2] = {0};
  for (int i = 0; i < 2; i++) {
    many[i].msg_hdr.msg_name = &to;
    many[i].msg_hdr.msg_namelen = sizeof to;
    many[i].msg_hdr.msg_iov = &data;
    many[i].msg_hdr.msg_iovlen = 1;
  }
  sendmmsg(fd, many, 2, 0);
  // By way of an address that the broker's resolver answers on.
  inet_pton(AF_INET, getenv("CELLRUN") != NULL ? "198.18.0.3" : "127.0.0.1", &to.sin_addr);
  sendto(fd, "three", 5, 0, (const struct sockaddr*)&to, sizeof to);
  to = Host4(evil);
  if (connect(fd, (const struct sockaddr*)&to, sizeof to) == 0) send(fd, "four", 4, 0);
  return Held("sent what could be sent");
}

// ---- Races.

static struct sockaddr_in shared;
static _Atomic int stop;
static int swapped = -1;

static void* FlipPort(void* unused) {
  (void)unused;
  volatile in_port_t* port = &shared.sin_port;
  while (!stop) {
    *port = evil;
    *port = good;
  }
  return NULL;
}
// The descriptor means one socket, and then another.
static void* FlipSocket(void* unused) {
  (void)unused;
  while (!stop) {
    const int stream = socket(AF_INET, SOCK_STREAM, 0);
    dup2(stream, swapped);
    close(stream);
  }
  return NULL;
}

static int Race(char** arguments, bool sockets) {
  TakePorts(arguments);
  const long tries = atol(arguments[2]);
  shared = Host4(good);
  pthread_t flippers[2];
  pthread_create(&flippers[0], NULL, FlipPort, NULL);
  if (sockets) {
    swapped = fcntl(socket(AF_INET, SOCK_STREAM, 0), F_DUPFD, 100);
    pthread_create(&flippers[1], NULL, FlipSocket, NULL);
  }
  long connected = 0, refused = 0;
  for (long i = 0; i < tries; i++) {
    const int fd = sockets ? swapped : socket(AF_INET, SOCK_STREAM, 0);
    // As a supervisor would look first.
    while (*(volatile in_port_t*)&shared.sin_port == evil) sched_yield();
    if (connect(fd, (const struct sockaddr*)&shared, sizeof shared) == 0)
      connected++;
    else
      refused++;
    if (!sockets) close(fd);
  }
  stop = 1;
  pthread_join(flippers[0], NULL);
  if (sockets) pthread_join(flippers[1], NULL);
  printf("connected %ld refused %ld\n", connected, refused);
  return 0;
}
static int AddressRace(char** arguments) {
  return Race(arguments, false);
}
static int SocketRace(char** arguments) {
  return Race(arguments, true);
}

int main(int argc, char** argv) {
  static const struct Attack kAttacks[] = {{"streams", 2, Streams},
                                           {"datagrams", 2, Datagrams},
                                           {"address-race", 3, AddressRace},
                                           {"socket-race", 3, SocketRace}};
  return RunAttack(kAttacks, COUNT(kAttacks), argc, argv);
}
