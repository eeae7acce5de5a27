// SPDX-License-Identifier: Apache-2.0
#include "launcher/terminal/channel.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "lib/sys/file.h"

namespace cellrun::terminal {
namespace {

ssize_t ReadSome(const Endpoint& from, char* bytes, std::size_t size) {
  if (from.access == Access::kSocket) return recv(from.fd.get(), bytes, size, MSG_DONTWAIT);
  return read(from.fd.get(), bytes, size);
}
ssize_t WriteSome(const Endpoint& to, const char* bytes, std::size_t size) {
  if (to.access == Access::kSocket)
    return send(to.fd.get(), bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  // A descriptor that may block takes no more than poll promised.
  if (to.access == Access::kBlocking) size = std::min<std::size_t>(size, PIPE_BUF);
  return write(to.fd.get(), bytes, size);
}
bool TryAgain() {
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

}  // namespace

Endpoint OwnEndpoint(UniqueFd fd) {
  (void)sys::SetNonBlocking(fd, true);  // a descriptor of ours; poll decides in any case
  return {std::move(fd), Access::kOwn};
}

Endpoint StandardEndpoint(int number) {
  UniqueFd copy(fcntl(number, F_DUPFD_CLOEXEC, 3));
  if (!copy.valid()) return {};
  struct stat facts {};
  if (fstat(copy.get(), &facts) != 0) return {std::move(copy), Access::kBlocking};
  if (S_ISREG(facts.st_mode)) return {std::move(copy), Access::kOwn};
  if (S_ISSOCK(facts.st_mode)) return {std::move(copy), Access::kSocket};
  const int mode =
      (number == STDIN_FILENO ? O_RDONLY : O_WRONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  UniqueFd again(open(("/proc/self/fd/" + std::to_string(copy.get())).c_str(), mode));
  // Another user's terminal after su, a device that only opens once: then poll and small writes
  // have to do.
  if (!again.valid()) return {std::move(copy), Access::kBlocking};
  return {std::move(again), Access::kOwn};
}

Channel::Channel(Endpoint from, Endpoint to, OutputFilter* filter, OutputBudget* budget)
    : from_(std::move(from)), to_(std::move(to)), filter_(filter), budget_(budget) {
  buffer_.reserve(kBufferBytes);
  struct stat facts {};
  watch_sink_ = fstat(to_.fd.get(), &facts) == 0 && S_ISFIFO(facts.st_mode);
}

void Channel::AddTo(std::vector<pollfd>& poll_set) {
  from_slot_ = to_slot_ = kNoSlot;
  // Back-pressure: nothing is read while something waits to be written.
  if (from_.fd.valid() && unwritten() == 0 && !spent()) {
    from_slot_ = poll_set.size();
    poll_set.push_back({.fd = from_.fd.get(), .events = POLLIN, .revents = 0});
  }
  // Without POLLOUT: only to learn that the reader has gone. A terminal whose other side is closed
  // for a moment would answer POLLHUP again and again.
  if (to_.fd.valid() && (unwritten() > 0 || watch_sink_)) {
    to_slot_ = poll_set.size();
    const short events = unwritten() > 0 ? POLLOUT : 0;
    poll_set.push_back({.fd = to_.fd.get(), .events = events, .revents = 0});
  }
}

void Channel::Run(const std::vector<pollfd>& poll_set) {
  const auto answer = [&](std::size_t slot) -> short {
    return slot == kNoSlot ? short{0} : poll_set[slot].revents;
  };
  const short to_answer = answer(to_slot_);
  const short from_answer = answer(from_slot_);
  if ((to_answer & POLLOUT) != 0) {
    Drain();
  } else if ((to_answer & (POLLERR | POLLNVAL)) != 0) {
    SinkClosed();
  }
  if (from_answer != 0 && from_.fd.valid()) {
    Fill();
    // Most of the time the sink has room, and asking costs as much as trying.
    if (unwritten() > 0 && to_.access != Access::kBlocking) Drain();
  }
  CloseWhenMoved();
}

void Channel::CloseWhenMoved() {
  if (from_.fd.valid() || unwritten() > 0 || !to_.fd.valid()) return;
  if (!farewell_.empty()) {
    // The end-of-file character ends a line that has begun; only at the start of a line it ends the
    // input.
    buffer_ = last_byte_ == '\n' ? farewell_ : farewell_ + farewell_;
    written_ = 0;
    farewell_.clear();
    return;
  }
  to_.fd.Reset();
}

void Channel::Fill() {
  std::array<char, kBufferBytes>
      bytes;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by the call
  ssize_t got = ReadSome(from_, bytes.data(), bytes.size());
  if (got < 0 && TryAgain()) return;
  // EIO: the last process has closed a terminal's other side; ECONNRESET: a socket's end without
  // manners.
  if (got <= 0) return StopReading();
  if (budget_ != nullptr) got = static_cast<ssize_t>(TakeOf(static_cast<std::size_t>(got)));
  if (got == 0) return;
  moved_ = true;
  buffer_.clear();
  written_ = 0;
  const std::string_view text(bytes.data(), static_cast<std::size_t>(got));
  last_byte_ = text.back();
  if (filter_ == nullptr) {
    buffer_.assign(text);
  } else {
    filter_->Process(text, buffer_);
  }
}

std::size_t Channel::TakeOf(std::size_t bytes) {
  const std::uint64_t taken = std::min<std::uint64_t>(bytes, budget_->left);
  budget_->left -= taken;
  budget_->ended |= taken < bytes;
  return taken;
}

void Channel::Drain() {
  while (unwritten() > 0) {
    const ssize_t put = WriteSome(to_, buffer_.data() + written_, unwritten());
    if (put < 0 && TryAgain()) return;
    if (put < 0) return SinkClosed();
    moved_ = true;
    written_ += static_cast<std::size_t>(put);
    if (to_.access == Access::kBlocking) return;
  }
}

void Channel::SinkClosed() {
  to_.fd.Reset();
  from_.fd.Reset();
  buffer_.clear();
  written_ = 0;
}

void Channel::StopReading() {
  from_.fd.Reset();
  CloseWhenMoved();
}

}  // namespace cellrun::terminal
