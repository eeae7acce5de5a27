// SPDX-License-Identifier: Apache-2.0
#include "broker/loop/loop.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lib/base/check.h"
#include "lib/base/log.h"

namespace cellrun::loop {
namespace asio = boost::asio;
namespace {

// Watched descriptors are in an epoll set of our own, which Asio waits for: given to Asio directly
// they would become O_NONBLOCK, which also changes the other holders of the open file.
class WatchSet {
 public:
  explicit WatchSet(asio::io_context& context) : retry_(std::in_place, context) {
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(epoll >= 0);
    ready_.emplace(context, epoll);
  }

  std::uint64_t Add(int fd, std::uint32_t events, std::function<void()> ready) {
    const std::uint64_t id = ++last_id_;
    watches_.emplace(id,
                     Entry{fd, events, std::make_shared<std::function<void()>>(std::move(ready))});
    if (!Enter(id)) EnterLater(id);
    if (!waiting_) Wait();
    return id;
  }

  void Remove(std::uint64_t id) {
    const auto watch = watches_.find(id);
    CHECK(watch != watches_.end());
    if (!ready_) return;  // the loop is gone, and the epoll set with it
    if (std::erase(late_, id) == 0)
      CHECK(epoll_ctl(ready_->native_handle(), EPOLL_CTL_DEL, watch->second.fd, nullptr) == 0);
    watches_.erase(watch);
  }

  void Close() {
    ready_.reset();
    retry_.reset();
  }

 private:
  struct Entry {
    int fd;
    std::uint32_t events;
    std::shared_ptr<std::function<void()>> ready;
  };

  bool Enter(std::uint64_t id) {
    const Entry& watch = watches_.at(id);
    epoll_event event{};
    event.events = watch.events;
    event.data.u64 = id;
    if (epoll_ctl(ready_->native_handle(), EPOLL_CTL_ADD, watch.fd, &event) == 0) return true;
    CHECK(errno != EBADF && errno != EEXIST && errno != EPERM);
    return false;
  }

  // No memory, or more watches than a user may have (fs.epoll.max_user_watches): that passes. What
  // becomes readable meanwhile is reported once it is watched.
  void EnterLater(std::uint64_t id) {
    if (late_.empty()) {
      log::Warn("a descriptor cannot be watched yet",
                {{"error", ErrnoError("epoll_ctl").ToString()}});
      ScheduleRetry();
    }
    late_.push_back(id);
  }
  void ScheduleRetry() {
    constexpr std::chrono::milliseconds kPause{20};
    retry_->expires_after(kPause);
    retry_->async_wait([this](const boost::system::error_code& error) {
      if (error) return;  // closed with the loop
      std::erase_if(late_, [this](std::uint64_t id) { return Enter(id); });
      if (!late_.empty()) ScheduleRetry();
    });
  }

  // Each wait arms the epoll set anew (EPOLL_CTL_MOD), so a descriptor that is still readable
  // reports again: level-triggered, as the header promises.
  void Wait() {
    waiting_ = true;
    ready_->async_wait(asio::posix::stream_descriptor::wait_read,
                       [this](const boost::system::error_code& error) {
                         if (error) return;  // closed with the loop
                         waiting_ = false;
                         Dispatch();
                         if (!waiting_) Wait();
                       });
  }

  void Dispatch() {
    std::array<epoll_event, 64> events{};
    const int count = epoll_wait(ready_->native_handle(), events.data(), events.size(), 0);
    for (int i = 0; i < count; ++i) {
      // An earlier handler of this round may have removed it.
      const auto watch = watches_.find(events[static_cast<std::size_t>(i)].data.u64);
      if (watch == watches_.end()) continue;
      const auto ready = watch->second.ready;  // survives its own removal
      (*ready)();
    }
  }

  std::optional<asio::posix::stream_descriptor> ready_;  // nothing once the loop is gone
  std::optional<asio::steady_timer> retry_;
  std::vector<std::uint64_t> late_;  // not in the epoll set yet
  std::unordered_map<std::uint64_t, Entry> watches_;
  std::uint64_t last_id_ = 0;
  bool waiting_ = false;
};

class SetWatch : public Loop::Watch {
 public:
  SetWatch(std::shared_ptr<WatchSet> set, std::uint64_t id) : set_(std::move(set)), id_(id) {}
  ~SetWatch() override { set_->Remove(id_); }
  SetWatch(const SetWatch&) = delete;
  SetWatch& operator=(const SetWatch&) = delete;

 private:
  std::shared_ptr<WatchSet> set_;
  std::uint64_t id_;
};

class SteadyTimer : public Loop::Timer {
 public:
  SteadyTimer(asio::io_context& context, std::chrono::nanoseconds delay,
              std::function<void()> expired)
      : timer_(context, delay) {
    // An expiry that is already queued runs even after the timer is gone; `alive_` tells.
    timer_.async_wait([alive = std::weak_ptr<bool>(alive_),
                       expired = std::move(expired)](const boost::system::error_code& error) {
      if (!error && !alive.expired()) expired();
    });
  }

 private:
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  asio::steady_timer timer_;
};

}  // namespace

struct Loop::State {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work = asio::make_work_guard(context);
  std::shared_ptr<WatchSet> watches = std::make_shared<WatchSet>(context);
};

Loop::Loop() : state_(std::make_unique<State>()) {}

Loop::~Loop() {
  state_->watches->Close();
}

void Loop::Run() {
  try {
    state_->context.run();
  } catch (const std::exception& error) {
    log::Fail("event loop ended by an exception", {{"what", error.what()}});
    std::abort();
  }
  state_->context.restart();
}

void Loop::Stop() {
  state_->context.stop();
}

void Loop::Post(std::function<void()> work) {
  asio::post(state_->context, std::move(work));
}

std::unique_ptr<Loop::Watch> Loop::WatchReadable(const UniqueFd& fd, std::function<void()> ready) {
  const std::uint64_t id = state_->watches->Add(fd.get(), EPOLLIN | EPOLLRDHUP, std::move(ready));
  return std::make_unique<SetWatch>(state_->watches, id);
}

std::unique_ptr<Loop::Watch> Loop::WatchWritable(const UniqueFd& fd, std::function<void()> ready) {
  const std::uint64_t id = state_->watches->Add(fd.get(), EPOLLOUT, std::move(ready));
  return std::make_unique<SetWatch>(state_->watches, id);
}

std::unique_ptr<Loop::Timer> Loop::After(std::chrono::nanoseconds delay,
                                         std::function<void()> expired) {
  return std::make_unique<SteadyTimer>(state_->context, delay, std::move(expired));
}

boost::asio::io_context& Loop::context() {
  return state_->context;
}

}  // namespace cellrun::loop
