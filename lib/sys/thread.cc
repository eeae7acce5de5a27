// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/thread.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <utility>

namespace cellrun::sys {
namespace {

void DoNothing(int) {}

void* RunBody(void* argument) {
  const std::unique_ptr<std::function<void()>> body(static_cast<std::function<void()>*>(argument));
  (*body)();
  return nullptr;
}

// A new thread inherits the mask of its maker.
class MaskAllButWake {
 public:
  MaskAllButWake() {
    sigset_t blocked;
    sigfillset(&blocked);
    for (const int signal : {WakeSignal(), SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP}) {
      sigdelset(&blocked, signal);
    }
    CHECK(pthread_sigmask(SIG_SETMASK, &blocked, &before_) == 0);
  }
  ~MaskAllButWake() { CHECK(pthread_sigmask(SIG_SETMASK, &before_, nullptr) == 0); }
  MaskAllButWake(const MaskAllButWake&) = delete;
  MaskAllButWake& operator=(const MaskAllButWake&) = delete;

 private:
  sigset_t before_{};
};

// The kernel's, of its first version: <linux/sched/types.h> clashes with <sched.h>.
struct SchedulingAttributes {
  std::uint32_t size;
  std::uint32_t policy;
  std::uint64_t flags;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime;  // of an ordinary policy: the slice
  std::uint64_t deadline;
  std::uint64_t period;
};
static_assert(sizeof(SchedulingAttributes) == 48);
constexpr std::uint64_t kResetOnFork = 1;

timespec ToTimespec(std::chrono::nanoseconds duration) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
  return {.tv_sec = seconds.count(), .tv_nsec = (duration - seconds).count()};
}

}  // namespace

int WakeSignal() {
  return SIGRTMIN + 7;
}

Result<void> InstallWakeSignal() {
  struct sigaction action {};
  action.sa_handler = DoNothing;
  sigemptyset(&action.sa_mask);
  if (sigaction(WakeSignal(), &action, nullptr) != 0) return ErrnoError("sigaction");
  return {};
}

Thread::Thread(Thread&& other) noexcept
    : thread_(other.thread_), started_(std::exchange(other.started_, false)) {}
Thread& Thread::operator=(Thread&& other) noexcept {
  CHECK(!started_);
  thread_ = other.thread_;
  started_ = std::exchange(other.started_, false);
  return *this;
}
Thread::~Thread() {
  CHECK(!started_);
}

Result<Thread> Thread::Start(std::size_t stack_bytes, std::function<void()> body) {
  pthread_attr_t attributes;
  CHECK(pthread_attr_init(&attributes) == 0);
  int failed = pthread_attr_setstacksize(&attributes, stack_bytes);
  Thread thread;
  auto owned = std::make_unique<std::function<void()>>(std::move(body));
  if (failed == 0) {
    const MaskAllButWake mask;
    failed = pthread_create(&thread.thread_, &attributes, RunBody, owned.get());
  }
  CHECK(pthread_attr_destroy(&attributes) == 0);
  if (failed != 0) return Error(failed, "pthread_create");
  (void)owned.release();  // RunBody's
  thread.started_ = true;
  return thread;
}
void Thread::Wake() const noexcept {
  CHECK(started_);
  // ESRCH: it has ended already.
  (void)pthread_kill(thread_, WakeSignal());
}
void Thread::Join() noexcept {
  CHECK(std::exchange(started_, false));
  CHECK(pthread_join(thread_, nullptr) == 0);
}

Result<ThreadTicker> ThreadTicker::Make() {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = WakeSignal();
  event._sigev_un._tid = ThreadId();
  timer_t timer{};
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) return ErrnoError("timer_create");
  return ThreadTicker(timer);
}
ThreadTicker::ThreadTicker(ThreadTicker&& other) noexcept
    : timer_(other.timer_), owned_(std::exchange(other.owned_, false)), period_(other.period_) {}
ThreadTicker& ThreadTicker::operator=(ThreadTicker&& other) noexcept {
  std::swap(timer_, other.timer_);
  std::swap(owned_, other.owned_);
  std::swap(period_, other.period_);
  return *this;
}
ThreadTicker::~ThreadTicker() {
  if (owned_) (void)timer_delete(timer_);  // EINVAL cannot happen: it is ours
}
void ThreadTicker::Arm(std::chrono::nanoseconds period) noexcept {
  const itimerspec setting{.it_interval = ToTimespec(period), .it_value = ToTimespec(period)};
  CHECK(timer_settime(timer_, 0, &setting, nullptr) == 0);
  period_ = period;
}
void ThreadTicker::Disarm() noexcept {
  Arm(std::chrono::nanoseconds(0));
}

void ReleaseUnusedStack() noexcept {
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
  void* low = nullptr;
  std::size_t bytes = 0;
  const bool known = pthread_attr_getstack(&attributes, &low, &bytes) == 0;
  pthread_attr_destroy(&attributes);
  if (!known) return;
  constexpr std::uintptr_t kPage = 4096;
  const auto lowest = reinterpret_cast<std::uintptr_t>(low);
  // A page is left for this frame's red zone and the call itself.
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  const std::uintptr_t end = (here & ~(kPage - 1)) - kPage;
  if (end > lowest) (void)madvise(low, end - lowest, MADV_DONTNEED);  // a matter of memory only
}

void ShortenTimeSlice(std::chrono::nanoseconds slice) noexcept {
  SchedulingAttributes attributes{};
  // Read first: the priority shall stay.
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  if (attributes.policy != SCHED_OTHER) return;
  attributes.flags |= kResetOnFork;
  attributes.runtime = static_cast<std::uint64_t>(slice.count());
  (void)syscall(SYS_sched_setattr, 0, &attributes, 0);  // it runs as before then
}

pid_t ThreadId() noexcept {
  return static_cast<pid_t>(syscall(SYS_gettid));
}
bool IsThreadOf(pid_t tgid, pid_t tid) noexcept {
  // The kernel looks whether they belong together before it looks at permissions.
  return syscall(SYS_tgkill, tgid, tid, 0) == 0 || errno == EPERM;
}
Result<void> Kill(pid_t pid, int signal) {
  CHECK(pid > 0);
  if (kill(pid, signal) != 0) return ErrnoError("kill");
  return {};
}
Result<bool> HungUp(int fd) {
  pollfd state{.fd = fd, .events = 0, .revents = 0};
  if (poll(&state, 1, 0) < 0) return ErrnoError("poll");
  return (state.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

FileIdentity::FileIdentity(uid_t uid, gid_t gid) noexcept
    // Each gives what it was before. The group first: afterwards it is not ours to change.
    : uid_(0), gid_(static_cast<gid_t>(syscall(SYS_setfsgid, gid))) {
  uid_ = static_cast<uid_t>(syscall(SYS_setfsuid, uid));
}
FileIdentity::~FileIdentity() {
  syscall(SYS_setfsuid, uid_);
  syscall(SYS_setfsgid, gid_);
}

}  // namespace cellrun::sys
