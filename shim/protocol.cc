// SPDX-License-Identifier: Apache-2.0
#include "shim/protocol.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

namespace cellrun::shim {
namespace {

// What an SCM_RIGHTS message may take; a union would not be aligned by itself.
struct alignas(cmsghdr) FdBuffer {
  char bytes[CMSG_SPACE(sizeof(int) * kMaxPacketFds)];
};

// The kernel puts all descriptors of a packet into one control message.
void TakeFds(msghdr& message, Packet& packet) {
  const cmsghdr* c = CMSG_FIRSTHDR(&message);
  if (c == nullptr || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) return;
  const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  for (size_t i = 0; i < count && packet.fd_count < kMaxPacketFds; i++) {
    memcpy(&packet.fds[packet.fd_count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
  }
}

int64_t NowMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

// EAGAIN: the socket is full. The others are shortages that pass; ETOOMANYREFS is one that the cell
// can cause, by keeping descriptors in flight.
bool MayPass(int code) {
  return code == EAGAIN || code == EINTR || code == ENOBUFS || code == ENOMEM ||
         code == ETOOMANYREFS;
}

void WaitForRoom(int socket, int code, int64_t left_ms) {
  constexpr int64_t kShortageMs = 10;  // nothing tells when a shortage is over
  if (code == EAGAIN) {
    pollfd wait{.fd = socket, .events = POLLOUT, .revents = 0};
    poll(&wait, 1, static_cast<int>(left_ms));
  } else if (code != EINTR) {
    poll(nullptr, 0, static_cast<int>(left_ms < kShortageMs ? left_ms : kShortageMs));
  }
}

void AttachFds(msghdr& message, FdBuffer& buffer, const int* fds, unsigned count) {
  const size_t bytes = count * sizeof(int);
  message.msg_control = buffer.bytes;
  message.msg_controllen = static_cast<socklen_t>(CMSG_SPACE(bytes));
  cmsghdr* c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = static_cast<socklen_t>(CMSG_LEN(bytes));
  memcpy(CMSG_DATA(c), fds, bytes);
}

}  // namespace

Received ReceivePacket(int socket, void* buffer, size_t capacity, int flags, Packet& packet) {
  packet = Packet();
  FdBuffer control{};
  iovec part{.iov_base = buffer, .iov_len = capacity};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  const ssize_t bytes = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
  // ECONNRESET, once: the other end has gone without reading all that was sent to it. What it sent
  // before comes next, and then the end of file.
  if (bytes < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNRESET))
    return Received::kNothing;
  if (bytes < 0) return Received::kEnd;
  // A stacked filter that answers 0 for recvmsg leaves the message as it was set up here.
  if (bytes == 0) return Received::kEnd;
  TakeFds(message, packet);
  packet.bytes = static_cast<size_t>(bytes);
  packet.truncated = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  return Received::kPacket;
}

void CloseFds(Packet& packet) {
  for (unsigned i = 0; i < packet.fd_count; i++) {
    if (packet.fds[i] >= 0) close(packet.fds[i]);
    packet.fds[i] = -1;
  }
  packet.fd_count = 0;
}

int SendPacket(int socket, const wire::ControlHeader& header, const void* payload, int fd) {
  return SendPacket(socket, header, payload, &fd, fd >= 0 ? 1 : 0);
}

int SendPacket(int socket, const wire::ControlHeader& header, const void* payload, const int* fds,
               unsigned count) {
  wire::ControlHeader copy = header;
  iovec parts[2] = {{.iov_base = &copy, .iov_len = sizeof copy},
                    {.iov_base = const_cast<void*>(payload), .iov_len = header.payload_bytes}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = header.payload_bytes != 0 ? 2 : 1;
  FdBuffer control{};
  if (count != 0) AttachFds(message, control, fds, count);
  const int64_t deadline = NowMs() + kSendTimeoutMs;
  while (true) {
    if (sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return 0;
    const int code = errno;
    const int64_t left_ms = deadline - NowMs();
    if (!MayPass(code) || left_ms <= 0) return code;
    WaitForRoom(socket, code, left_ms);
  }
}

void WriteAll(int fd, const char* text, size_t bytes) {
  while (bytes > 0) {
    const ssize_t written = write(fd, text, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) {
      pollfd wait{.fd = fd, .events = POLLOUT, .revents = 0};
      poll(&wait, 1, -1);
      continue;
    }
    // 0 for a request of more than 0 bytes: a lie of a stacked filter, or a device that is full.
    if (written <= 0 || static_cast<size_t>(written) > bytes) return;
    text += written;
    bytes -= static_cast<size_t>(written);
  }
}

}  // namespace cellrun::shim
