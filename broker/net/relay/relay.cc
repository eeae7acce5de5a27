// SPDX-License-Identifier: Apache-2.0
#include "broker/net/relay/relay.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
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
constexpr std::size_t kFewBytes = 4096;  // fits into every pipe
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

// One that the reactor's end took by surprise: what is cut short must not look whole.
Relay::~Relay() {
  if (!cell_.valid()) return;
  ResetOnClose(cell_);
  ResetOnClose(outside_);
}

Result<void> Relay::Start() {
  // Urgent bytes stay in their place: the kernel would drop one that another one overtakes.
  constexpr int kOn = 1;
  (void)setsockopt(cell_.get(), SOL_SOCKET, SO_OOBINLINE, &kOn, sizeof kOn);
  (void)setsockopt(outside_.get(), SOL_SOCKET, SO_OOBINLINE, &kOn, sizeof kOn);
  cell_events_ = outside_events_ = EPOLLIN | EPOLLPRI;
  TRY(reactor_.Watch(cell_.get(), cell_events_, shared_from_this()));
  const Result<void> watched = reactor_.Watch(outside_.get(), outside_events_, shared_from_this());
  if (!watched.ok()) reactor_.Forget(cell_.get());
  return watched;
}

// Only what the event is about: a message there and back costs each direction one turn.
void Relay::OnReady(int fd, std::uint32_t events) {
  if (!cell_.valid()) return;
  const std::shared_ptr<Relay> self = shared_from_this();  // End may let go of the last one
  const bool is_cell = fd == cell_.get();
  Half& reads = is_cell ? out_ : in_;
  Half& writes = is_cell ? in_ : out_;
  if ((events & EPOLLPRI) != 0) reads.urgent = true;
  const bool over = (events & (EPOLLERR | EPOLLHUP)) != 0;
  const bool readable = (events & EPOLLIN) != 0;
  if ((readable || reads.urgent || over) && !Pump(reads, readable)) return End("reset", true);
  if (((events & EPOLLOUT) != 0 || over) && !Pump(writes, false)) return End("reset", true);
  // Reading would not tell any more.
  if ((events & EPOLLERR) != 0 && reads.ended) reads.broken = true;
  if ((out_.shut && out_.broken) || (in_.shut && in_.broken)) return End("reset", true);
  if (out_.shut && (in_.shut || finishing_)) return End("closed", false);
  Arm();
}

// Until nothing more moves, or others are due. `readable`: there is something, and no urgent data
// came before it.
bool Relay::Pump(Half& half, bool readable) {
  const std::uint64_t before = half.bytes;
  const bool few = readable && !half.many && !half.urgent && half.held == 0 && !half.ended;
  const Moved passed = few ? PassFew(half) : Moved::kSome;
  if (passed == Moved::kBroken) return false;
  for (int round = 0; passed == Moved::kSome && round < kRounds; ++round) {
    const Moved filled = Fill(half);
    const Moved drained = filled == Moved::kBroken ? filled : Drain(half);
    if (drained == Moved::kBroken) return false;
    if (filled == Moved::kSome || drained == Moved::kSome) continue;
    if (!half.urgent || half.held > 0) break;
    const Moved urgent = PassUrgent(half);
    if (urgent == Moved::kBroken) return false;
    if (urgent == Moved::kNothing) break;
  }
  half.many = half.bytes - before > kFewBytes;
  half.pushing = half.held > 0 || half.urgent;
  if (half.held == 0) GivePipe(std::move(half.pipe_out), std::move(half.pipe_in));
  if (half.ended && half.held == 0 && !half.shut) {
    half.shut = true;
    (void)shutdown(half.to.get(), SHUT_WR);  // ENOTCONN: it has gone
  }
  return true;
}

// A message: received and sent without a pipe. kSome: there may be more than that.
Relay::Moved Relay::PassFew(Half& half) {
  std::array<char, kFewBytes> bytes{};
  const ssize_t got = recv(half.from.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR ? Moved::kNothing : Moved::kBroken;
  if (got == 0) {
    half.ended = true;
    return Moved::kNothing;
  }
  const std::string_view message(bytes.data(), static_cast<std::size_t>(got));
  ssize_t put = send(half.to.get(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (put < 0 && errno != EAGAIN && errno != EINTR) return Moved::kBroken;
  if (put < 0) put = 0;
  half.bytes += static_cast<std::uint64_t>(put);
  if (put < got) return Hold(half, message.substr(static_cast<std::size_t>(put)));
  return message.size() == bytes.size() ? Moved::kSome : Moved::kNothing;
}

// What has been received and is not taken yet. An empty pipe has room for it.
Relay::Moved Relay::Hold(Half& half, std::string_view bytes) {
  if (!OpenPipe(half)) return Moved::kBroken;
  if (write(half.pipe_in.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
    return Moved::kBroken;
  half.held += bytes.size();
  return Moved::kNothing;
}

// false: no descriptors; the connection says so by a reset.
bool Relay::OpenPipe(Half& half) {
  if (half.pipe_in.valid()) return true;
  Result<sys::Pipe> pipe = TakePipe();
  if (!pipe.ok()) return false;
  half.pipe_out = std::move(pipe->read);
  half.pipe_in = std::move(pipe->write);
  return true;
}

Relay::Moved Relay::Fill(Half& half) {
  if (half.ended || half.held >= kPipeBytes) return Moved::kNothing;
  if (!OpenPipe(half)) return Moved::kBroken;
  const ssize_t got =
      splice(half.from.get(), nullptr, half.pipe_in.get(), nullptr, kPipeBytes, kSpliceFlags);
  if (got == 0) {
    // Also where the end has come behind urgent data.
    char byte = 0;
    half.urgent = recv(half.from.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
    half.ended = !half.urgent;
    return half.ended ? Moved::kSome : Moved::kNothing;
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

// Splice stops at the mark and stays there; receiving what is behind it takes it away. The byte
// stays where it is until the other side has taken it.
Relay::Moved Relay::PassUrgent(Half& half) {
  half.urgent = false;
  int at_mark = 0;
  std::array<char, kFewBytes> bytes{};
  if (ioctl(half.from.get(), SIOCATMARK, &at_mark) != 0) return Moved::kBroken;
  if (recv(half.from.get(), bytes.data(), 1, MSG_PEEK | MSG_DONTWAIT) != 1)
    return Moved::kNothing;  // what there is to say, the next splice says
  if (at_mark != 0 &&
      send(half.to.get(), bytes.data(), 1, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL) != 1) {
    half.urgent = errno == EAGAIN || errno == EINTR;
    return half.urgent ? Moved::kNothing : Moved::kBroken;
  }
  const ssize_t got = recv(half.from.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got <= 0) return Moved::kBroken;
  const std::size_t passed = at_mark != 0 ? 1 : 0;
  half.bytes += passed;
  const std::string_view behind(&bytes.at(passed), static_cast<std::size_t>(got) - passed);
  if (!behind.empty() && Hold(half, behind) == Moved::kBroken) return Moved::kBroken;
  return Moved::kSome;
}

void Relay::Arm() {
  const auto wanted = [](const Half& reads, const Half& writes) -> std::uint32_t {
    const bool takes = !reads.ended && !reads.pushing;
    const std::uint32_t events =
        (takes ? EPOLLIN | EPOLLPRI : 0U) | (writes.pushing ? EPOLLOUT : 0U);
    // Where nothing is, a hang-up is told once, not for ever, and a reset still is.
    return events != 0 ? events : EPOLLET;
  };
  const auto apply = [this](const UniqueFd& fd, std::uint32_t& now, std::uint32_t next) {
    if (now != next) reactor_.Change(fd.get(), next);
    now = next;
  };
  apply(cell_, cell_events_, wanted(out_, in_));
  apply(outside_, outside_events_, wanted(in_, out_));
}

void Relay::Cut(const char* how) {
  if (cell_.valid()) End(how, true);
}

void Relay::Finish(std::chrono::nanoseconds limit, Done done) {
  done_ = std::move(done);
  finishing_ = true;
  if (!cell_.valid()) return std::exchange(done_, nullptr)(traffic_, how_);
  if (out_.shut) return End("closed", false);
  limit_ = reactor_.After(limit, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->Cut("ended with the cell");
  });
}

void Relay::End(const char* how, bool reset) {
  how_ = how;
  if (limit_ != 0) reactor_.Cancel(limit_);
  reactor_.Forget(cell_.get());
  reactor_.Forget(outside_.get());
  if (reset) {
    ResetOnClose(cell_);
    ResetOnClose(outside_);
  }
  cell_.Reset();
  outside_.Reset();
  for (Half* half : {&out_, &in_}) {
    if (half->held == 0) GivePipe(std::move(half->pipe_out), std::move(half->pipe_in));
    half->pipe_in.Reset();
    half->pipe_out.Reset();
  }
  const Done done = std::exchange(done_, nullptr);
  if (done) done(traffic_, how);
}

}  // namespace cellrun::net
