// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/wire/control.h"

// Packets with descriptors on a SOCK_SEQPACKET socket. No heap: the caller owns every buffer.
namespace cellrun::shim {

constexpr unsigned kMaxPacketFds = 16;  // as many as the broker sends
constexpr size_t kMaxPacketBytes = 65'536;

enum class Received { kPacket, kNothing, kEnd };

struct Packet {
  size_t bytes = 0;
  unsigned fd_count = 0;
  int fds[kMaxPacketFds] = {};  // `fd_count` of them; CLOEXEC; the caller closes them
  bool truncated = false;       // more bytes or descriptors came than fit: not to be used
};

// One packet into `buffer`. kNothing: EAGAIN or EINTR. kEnd: end of file, or any other error.
// `flags` as recvmsg(2).
Received ReceivePacket(int socket, void* buffer, size_t capacity, int flags, Packet& packet);
void CloseFds(Packet& packet);

// 0 or an errno. Waits for room, at most kSendTimeoutMs altogether: whoever does not read for that
// long is gone.
constexpr int kSendTimeoutMs = 15'000;  // a broker may take 10 s to be replaced
int SendPacket(int socket, const wire::ControlHeader& header, const void* payload, int fd);
int SendPacket(int socket, const wire::ControlHeader& header, const void* payload, const int* fds,
               unsigned count);

// Whatever happens to `fd` (EINTR, EAGAIN of a non-blocking one, short writes), until all is
// written or it takes no more.
void WriteAll(int fd, const char* text, size_t bytes);

}  // namespace cellrun::shim
