// SPDX-License-Identifier: Apache-2.0
#include "broker/notify/receivers.h"

#include <cstdlib>
#include <exception>
#include <utility>
#include <vector>

#include "lib/base/log.h"
#include "lib/sys/process.h"

namespace cellrun::notify {
namespace {

// Above what attachments can occupy (exec::Attachments), so that a receiver is left for what does
// not need one: the second half of a redirect is only ever seen there.
constexpr std::size_t kMaxThreads = 18;
// Address space; touched are about 24 KiB, until the last one has been idle for a while. The
// sanitizers' frames are several times as large.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kStackBytes = 1024 * 1024;
#elif defined(__clang__)  // says in another way whether it sanitizes
constexpr std::size_t kStackBytes = 512 * 1024;
#else
constexpr std::size_t kStackBytes = 128 * 1024;
#endif
constexpr std::chrono::seconds kSlowTick{1};
// Several verdicts' worth: beside a cell that forks as fast as it can, a receiver of another one
// is on a processor sooner for it.
constexpr std::chrono::microseconds kTimeSlice{500};

}  // namespace

bool Lane::EnsureReceiver() {
  return receivers_.EnsureReceiver();
}
void Lane::Tick(std::chrono::nanoseconds period) {
  if (ticker_.period() != period) ticker_.Arm(period);
}
void Lane::TickSlowly() {
  Tick(kSlowTick);
}
const std::atomic<bool>* Lane::stop_flag() const noexcept {
  return &receivers_.stopping_;
}
bool Lane::stopping() const {
  return receivers_.stopping_.load(std::memory_order_relaxed);
}

Receivers::Receivers(const Listener& listener, Hooks hooks)
    : listener_(listener), hooks_(std::move(hooks)) {}
Receivers::~Receivers() {
  Stop();
}

Result<void> Receivers::Start() {
  TRY(sys::InstallWakeSignal());
  const std::lock_guard lock(mutex_);
  return StartWorker();
}

Result<void> Receivers::StartWorker() {
  JoinEnded();
  Worker& worker = workers_.emplace_back();
  ++running_;
  ++receiving_;  // counted from now on: nobody shall start another one meanwhile
  Result<sys::Thread> thread = sys::Thread::Start(kStackBytes, [this, &worker] { Run(worker); });
  if (!thread.ok()) {
    --receiving_;
    --running_;
    workers_.pop_back();
    return thread.error();
  }
  worker.thread = std::move(thread).value();
  return {};
}

void Receivers::JoinEnded() {
  for (auto worker = workers_.begin(); worker != workers_.end();) {
    if (worker->ended) {
      worker->thread.Join();
      worker = workers_.erase(worker);
    } else {
      ++worker;
    }
  }
}

bool Receivers::EnsureReceiver() {
  if (receiving_.load() > 0) return true;
  const std::lock_guard lock(mutex_);
  if (receiving_.load() > 0) return true;
  if (stopping_) return false;
  // More than can be attached: those that are not come back to receive by themselves.
  if (running_ >= kMaxThreads) return true;
  const Result<void> started = StartWorker();
  if (!started.ok()) {
    log::Warn("no further supervisor thread", {{"error", started.error().ToString()}});
  }
  return started.ok();
}

void Receivers::Run(Worker& worker) {
  try {
    (void)sys::SetName("cellrun-notify");  // only a name
    sys::ShortenTimeSlice(kTimeSlice);
    Result<sys::ThreadTicker> ticker = sys::ThreadTicker::Make();
    if (ticker.ok()) {
      Lane lane(*this, std::move(ticker).value());
      Serve(lane);
    } else {
      log::Fail("a supervisor thread has no timer", {{"error", ticker.error().ToString()}});
      --receiving_;
      if (running_ == 1) End(ticker.error());  // the others come back to receive
    }
  } catch (const std::exception& failure) {
    // Out of memory or a bug: without a supervisor that can judge, no cell may go on.
    log::Fail("a supervisor thread failed", {{"what", failure.what()}});
    std::abort();
  }
  const std::lock_guard lock(mutex_);
  worker.ended = true;
  --running_;
  changed_.notify_all();
}

// Enters and leaves being counted in receiving_.
void Receivers::Serve(Lane& lane) {
  while (Receive(lane)) {
    while (!stopping_) {
      const std::optional<seccomp_notif> next = hooks_.next();
      if (!next.has_value()) break;
      hooks_.handle(*next, lane);
    }
    lane.memory_.Trim();
    ++receiving_;
  }
}

bool Receivers::Receive(Lane& lane) {
  lane.idle_since_ = sys::MonotonicNow();
  for (;;) {
    if (stopping_ || ended_) {
      --receiving_;
      return false;
    }
    if (running_ > 1) lane.TickSlowly();
    Result<std::optional<seccomp_notif>> received = listener_.Receive();
    if (!received.ok() || (!received.value().has_value() && listener_.Ended())) {
      --receiving_;
      if (received.ok()) {
        End(std::nullopt);
      } else {
        log::Fail("a listener broke", {{"error", received.error().ToString()}});
        End(received.error());
      }
      return false;
    }
    if (received.value().has_value()) {
      --receiving_;
      hooks_.handle(*received.value(), lane);
      return true;
    }
    if (!Idle(lane)) return false;
  }
}

// The wait gave nothing: the ticker, or a caller that vanished. False: enough others receive.
bool Receivers::Idle(Lane& lane) {
  if (sys::MonotonicNow() - lane.idle_since_ < kSlowTick) return true;
  int others = receiving_.load();
  while (others > 1) {
    if (receiving_.compare_exchange_weak(others, others - 1)) return false;
  }
  const std::lock_guard lock(mutex_);
  JoinEnded();
  if (running_ > 1) return true;
  lane.ticker_.Disarm();
  sys::ReleaseUnusedStack();
  return true;
}

void Receivers::End(std::optional<Error> broken) {
  if (ended_.exchange(true)) return;
  {
    const std::lock_guard lock(mutex_);
    for (const Worker& worker : workers_) {
      if (!worker.ended && worker.thread.joinable()) worker.thread.Wake();
    }
  }
  if (!stopping_) hooks_.ended(std::move(broken));
}

void Receivers::Stop() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  while (running_ > 0) {
    for (const Worker& worker : workers_) {
      if (!worker.ended) worker.thread.Wake();
    }
    // Again after a moment: a thread may have been just about to block.
    changed_.wait_for(lock, std::chrono::milliseconds(2));
  }
  JoinEnded();
}

std::size_t Receivers::threads() const {
  return running_;
}

}  // namespace cellrun::notify
