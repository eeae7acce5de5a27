// SPDX-License-Identifier: Apache-2.0
#include "broker/net/reactor/reactor.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <climits>

#include "lib/base/check.h"
#include "lib/sys/file.h"
#include "lib/sys/process.h"

namespace cellrun::net {
namespace {

constexpr std::size_t kStackBytes = 256 * 1024;
constexpr std::size_t kEvents = 128;

}  // namespace

Result<std::unique_ptr<Reactor>> Reactor::Start() {
  std::unique_ptr<Reactor> reactor(new Reactor());
  reactor->epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  if (!reactor->epoll_.valid()) return ErrnoError("epoll_create1");
  reactor->wake_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!reactor->wake_.valid()) return ErrnoError("eventfd");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = reactor->wake_.get();
  if (epoll_ctl(reactor->epoll_.get(), EPOLL_CTL_ADD, reactor->wake_.get(), &event) != 0)
    return ErrnoError("epoll_ctl");
  reactor->spare_ = TRY(sys::Duplicate(reactor->wake_));
  reactor->thread_ = TRY(sys::Thread::Start(kStackBytes, [made = reactor.get()] { made->Run(); }));
  return reactor;
}

Reactor::~Reactor() {
  Stop();
}

void Reactor::Stop() {
  stopping_ = true;
  Post([] {});
  if (thread_.joinable()) thread_.Join();
}

void Reactor::Post(std::function<void()> work) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(work));
  }
  const std::uint64_t one = 1;
  if (first) (void)sys::Write(wake_, {reinterpret_cast<const char*>(&one), sizeof one});
}

bool Reactor::OnThread() const {
  return tid_ == sys::ThreadId();
}

Result<void> Reactor::Watch(int fd, std::uint32_t events, std::shared_ptr<Source> source) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return ErrnoError("epoll_ctl");
  watched_[fd] = {.source = std::move(source), .turn = turn_};
  return {};
}

void Reactor::Change(int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0);
}

void Reactor::Forget(int fd) {
  const auto found = watched_.find(fd);
  if (found == watched_.end()) return;
  CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr) == 0);
  watched_.erase(found);
}

Reactor::TimerId Reactor::After(std::chrono::nanoseconds delay, std::function<void()> expired) {
  const TimerId id = ++last_timer_;
  const std::chrono::nanoseconds due = sys::MonotonicNow() + delay;
  timers_.emplace(std::pair(due, id), std::move(expired));
  due_[id] = due;
  return id;
}

void Reactor::Cancel(TimerId id) {
  const auto due = due_.find(id);
  if (due == due_.end()) return;
  timers_.erase({due->second, id});
  due_.erase(due);
}

bool Reactor::WithSpare(const std::function<void()>& work) {
  const auto keep = [this] {
    // Somebody else may have been quicker; then the next one to ask tries again.
    if (Result<UniqueFd> again = sys::Duplicate(wake_); again.ok()) spare_ = std::move(*again);
  };
  if (!spare_.valid()) keep();
  if (!spare_.valid()) return false;
  spare_.Reset();
  work();
  keep();
  return true;
}

int Reactor::Timeout() const {
  if (timers_.empty()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first -
                                                                 sys::MonotonicNow());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, INT_MAX));
}

void Reactor::RunTimers() {
  const std::chrono::nanoseconds now = sys::MonotonicNow();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto node = timers_.extract(timers_.begin());
    due_.erase(node.key().second);
    node.mapped()();
  }
}

void Reactor::RunPosted() {
  std::array<char, sizeof(std::uint64_t)> count{};
  (void)sys::Read(wake_, count);  // EAGAIN: an earlier round took it
  std::vector<std::function<void()>> posted;
  {
    const std::lock_guard lock(mutex_);
    posted.swap(posted_);
  }
  for (const std::function<void()>& work : posted) work();
}

void Reactor::Run() {
  tid_ = sys::ThreadId();
  (void)sys::SetName("egress");
  std::array<epoll_event, kEvents> events{};
  while (!stopping_) {
    const int count =
        epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), Timeout());
    ++turn_;
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      const int fd = event.data.fd;
      if (fd == wake_.get()) {
        RunPosted();
        continue;
      }
      // An earlier handler of this round may have let it go, and its number may be another's.
      const auto found = watched_.find(fd);
      if (found == watched_.end() || found->second.turn == turn_) continue;
      const std::shared_ptr<Source> source = found->second.source;
      source->OnReady(fd, event.events);
    }
    RunTimers();
  }
  for (auto& [fd, watched] : std::exchange(watched_, {})) {
    (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  }
  timers_.clear();
}

}  // namespace cellrun::net
