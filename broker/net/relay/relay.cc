// SPDX-License-Identifier: Apache-2.0
#include "broker/net/relay/relay.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>
#include <vector>

#include "lib/sys/file.h"

namespace cellrun::net {
namespace {

// What one direction holds at most, and what one turn moves before others have theirs.
constexpr std::size_t kPipeBytes = 256UL * 1024;
constexpr int kRounds = 16;
constexpr std::size_t kSparePipes = 16;
constexpr std::size_t kBehindUrgent = 4096;  // fits into every pipe
constexpr unsigned kSpliceFlags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;

// Pipes of connections that hold nothing: an idle connection needs none.
thread_local std::vector<sys::Pipe> spare_pipes;

Result<sys::Pipe> TakePipe() {
  if (spare_pipes.empty()) {
    sys::Pipe made = TRY(sys::Pipe2(O_CLOEXEC | O_NONBLOCK));
    // EPERM: the user has many already; the usual size does as well.
    (void)fcntl(made.write.get(), F_SETPIPE_SZ, static_cast<int>(kPipeBytes));
    return made;
  }
  sys::Pipe taken = std::move(spare_pipes.back());
  spare_pipes.pop_back();
  return taken;
}
void GivePipe(UniqueFd read, UniqueFd write) {
  if (!read.valid() || spare_pipes.size() >= kSparePipes) return;
  spare_pipes.push_back({std::move(read), std::move(write)});
}

}  // namespace

void ResetOnClose(const UniqueFd& socket) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  (void)setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

std::shared_ptr<Relay> Relay::Make(Reactor& reactor, UniqueFd cell, UniqueFd outside, Done done) {
  return std::make_shared<Relay>(reactor, std::move(cell), std::move(outside), std::move(done));
}

Relay::Relay(Reactor& reactor, UniqueFd cell, UniqueFd outside, Done done)
    : reactor_(reactor),
      cell_(std::move(cell)),
      outside_(std::move(outside)),
      done_(std::move(done)) {}

Relay::~Relay() = default;

Result<void> Relay::Start() {
  cell_events_ = outside_events_ = EPOLLIN | EPOLLPRI;
  TRY(reactor_.Watch(cell_.get(), cell_events_, shared_from_this()));
  const Result<void> watched = reactor_.Watch(outside_.get(), outside_events_, shared_from_this());
  if (!watched.ok()) reactor_.Forget(cell_.get());
  return watched;
}

void Relay::OnReady(int fd, std::uint32_t events) {
  if ((events & EPOLLPRI) != 0) (fd == cell_.get() ? out_ : in_).urgent = true;
  Turn();
}

void Relay::Turn() {
  if (!cell_.valid()) return;
  const std::shared_ptr<Relay> self = shared_from_this();  // End may let go of the last one
  if (!Pump(out_) || !Pump(in_)) return End("reset", true);
  if (out_.shut && in_.shut) return End("closed", false);
  Arm();
}

// Until nothing more moves, or others are due.
bool Relay::Pump(Half& half) {
  for (int round = 0; round < kRounds; ++round) {
    const Moved filled = Fill(half);
    const Moved drained = filled == Moved::kBroken ? filled : Drain(half);
    if (drained == Moved::kBroken) return false;
    if (filled == Moved::kSome || drained == Moved::kSome) continue;
    if (!half.urgent || half.held > 0) break;
    if (PassUrgent(half) == Moved::kBroken) return false;
  }
  if (half.held == 0) GivePipe(std::move(half.pipe_out), std::move(half.pipe_in));
  if (half.ended && half.held == 0 && !half.shut) {
    half.shut = true;
    (void)shutdown(half.to.get(), SHUT_WR);  // ENOTCONN: it has gone
  }
  return true;
}

Relay::Moved Relay::Fill(Half& half) {
  if (half.ended || half.held >= kPipeBytes) return Moved::kNothing;
  if (!half.pipe_in.valid()) {
    Result<sys::Pipe> pipe = TakePipe();
    if (!pipe.ok()) return Moved::kBroken;  // no descriptors: the connection says so by a reset
    half.pipe_out = std::move(pipe->read);
    half.pipe_in = std::move(pipe->write);
  }
  const ssize_t got =
      splice(half.from.get(), nullptr, half.pipe_in.get(), nullptr, kPipeBytes, kSpliceFlags);
  if (got == 0) {
    half.ended = true;
    return Moved::kSome;
  }
  if (got < 0) return errno == EAGAIN || errno == EINTR ? Moved::kNothing : Moved::kBroken;
  half.held += static_cast<std::size_t>(got);
  return Moved::kSome;
}

Relay::Moved Relay::Drain(Half& half) {
  half.pushing = false;
  if (half.held == 0) return Moved::kNothing;
  const ssize_t put =
      splice(half.pipe_out.get(), nullptr, half.to.get(), nullptr, half.held, kSpliceFlags);
  if (put < 0) {
    if (errno != EAGAIN && errno != EINTR) return Moved::kBroken;
    half.pushing = true;
    return Moved::kNothing;
  }
  half.held -= static_cast<std::size_t>(put);
  half.bytes += static_cast<std::uint64_t>(put);
  half.pushing = half.held > 0;
  return Moved::kSome;
}

// Splice stops before the urgent byte and stays there; reading it, and then what is behind it as
// bytes, takes the mark away.
Relay::Moved Relay::PassUrgent(Half& half) {
  half.urgent = false;
  char byte = 0;
  if (recv(half.from.get(), &byte, 1, MSG_OOB | MSG_DONTWAIT) != 1) return Moved::kNothing;
  if (send(half.to.get(), &byte, 1, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL) != 1)
    return Moved::kBroken;
  ++half.bytes;
  std::array<char, kBehindUrgent> behind{};
  const ssize_t got = recv(half.from.get(), behind.data(), behind.size(), MSG_DONTWAIT);
  if (got <= 0) return Moved::kNothing;  // what there is to say, the next splice says
  if (write(half.pipe_in.get(), behind.data(), static_cast<std::size_t>(got)) != got)
    return Moved::kBroken;
  half.held += static_cast<std::size_t>(got);
  return Moved::kSome;
}

void Relay::Arm() {
  const auto wanted = [](const Half& reads, const Half& writes) -> std::uint32_t {
    const bool takes = !reads.ended && !reads.pushing;
    return (takes ? EPOLLIN | EPOLLPRI : 0U) | (writes.pushing ? EPOLLOUT : 0U);
  };
  // A descriptor that nothing is wanted of is let go: its hang-up would be reported for ever.
  const auto apply = [this](const UniqueFd& fd, std::uint32_t& now, std::uint32_t next) {
    if (now == next) return;
    if (next == 0) {
      reactor_.Forget(fd.get());
    } else if (now == 0) {
      (void)reactor_.Watch(fd.get(), next, shared_from_this());
    } else {
      reactor_.Change(fd.get(), next);
    }
    now = next;
  };
  apply(cell_, cell_events_, wanted(out_, in_));
  apply(outside_, outside_events_, wanted(in_, out_));
}

void Relay::Cut(const char* how) {
  if (cell_.valid()) End(how, true);
}

void Relay::End(const char* how, bool reset) {
  reactor_.Forget(cell_.get());
  reactor_.Forget(outside_.get());
  if (reset) {
    ResetOnClose(cell_);
    ResetOnClose(outside_);
  }
  cell_.Reset();
  outside_.Reset();
  for (Half* half : {&out_, &in_}) {
    half->pipe_in.Reset();
    half->pipe_out.Reset();
  }
  const Done done = std::exchange(done_, nullptr);
  if (done) done(traffic_, how);
}

}  // namespace cellrun::net
