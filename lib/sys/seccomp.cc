// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/seccomp.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/sys/uapi.h"

namespace cellrun::sys {
namespace {

// A task whose answer is lost waits for ever. ENOENT: it is gone; EINPROGRESS: it has been
// answered. Anything else may pass (EINTR: the listener's lock, seccomp_notify_ioctl).
Result<void> Reply(const UniqueFd& listener, seccomp_notif_resp response) {
  constexpr int kTries = 3;
  for (int tried = 1;; ++tried) {
    if (ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_SEND, &response) == 0) return {};
    const bool settled = errno == ENOENT || errno == EINPROGRESS;
    if (settled || tried == kTries) return ErrnoError("ioctl(SECCOMP_IOCTL_NOTIF_SEND)");
  }
}

// As long as it lives, no signal interrupts a call of this thread.
class NoSignals {
 public:
  NoSignals() {
    sigset_t all;
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &before_) == 0);
  }
  ~NoSignals() { CHECK(pthread_sigmask(SIG_SETMASK, &before_, nullptr) == 0); }
  NoSignals(const NoSignals&) = delete;
  NoSignals& operator=(const NoSignals&) = delete;

 private:
  sigset_t before_{};
};

seccomp_notif_addfd Request(std::uint64_t id, const UniqueFd& fd, std::uint32_t flags) {
  return {.id = id,
          .flags = flags,
          .srcfd = static_cast<std::uint32_t>(fd.get()),
          .newfd = 0,
          .newfd_flags = O_CLOEXEC};
}
Result<int> AddFd(const UniqueFd& listener, seccomp_notif_addfd request) {
  int number = -1;
  // A signal before the caller has come to it takes the request back (seccomp_notify_addfd):
  // nothing was added. On a busy machine that takes longer than a timer of the supervisor.
  do {
    number = ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &request);
  } while (number < 0 && errno == EINTR);
  if (number < 0) return ErrnoError("ioctl(SECCOMP_IOCTL_NOTIF_ADDFD)");
  return number;
}

}  // namespace

Result<UniqueFd> SeccompNewListener(std::span<const sock_filter> program, unsigned long flags) {
  // The kernel only reads it; the structure has no const.
  sock_fprog filter{.len = static_cast<unsigned short>(program.size()),
                    .filter = const_cast<sock_filter*>(program.data())};
  const long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                          SECCOMP_FILTER_FLAG_NEW_LISTENER | flags, &filter);
  if (fd < 0) return ErrnoError("seccomp");
  return UniqueFd(static_cast<int>(fd));
}
Result<std::optional<seccomp_notif>> SeccompReceive(const UniqueFd& listener) {
  seccomp_notif notification{};  // the kernel refuses a buffer that is not zeroed
  if (ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_RECV, &notification) == 0) {
    return std::optional<seccomp_notif>(notification);
  }
  if (errno == ENOENT || errno == EINTR) return std::optional<seccomp_notif>();
  return ErrnoError("ioctl(SECCOMP_IOCTL_NOTIF_RECV)");
}
Result<void> SeccompContinue(const UniqueFd& listener, std::uint64_t id) {
  return Reply(listener,
               {.id = id, .val = 0, .error = 0, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE});
}
Result<void> SeccompReplyError(const UniqueFd& listener, std::uint64_t id, int code) {
  CHECK(code > 0);
  return Reply(listener, {.id = id, .val = 0, .error = -code, .flags = 0});
}
Result<void> SeccompReplyValue(const UniqueFd& listener, std::uint64_t id, std::int64_t value) {
  return Reply(listener, {.id = id, .val = value, .error = 0, .flags = 0});
}
bool SeccompIdValid(const UniqueFd& listener, std::uint64_t id) {
  return ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}
Result<int> SeccompAddFd(const UniqueFd& listener, std::uint64_t id, const UniqueFd& fd) {
  return AddFd(listener, Request(id, fd, 0));
}
Result<int> SeccompReplyFd(const UniqueFd& listener, std::uint64_t id, const UniqueFd& fd) {
  // Here a signal would take back the descriptor, but not that the call is answered (up to 6.18 at
  // least): it would return 0, as if it had been given descriptor 0.
  const NoSignals mask;
  return AddFd(listener, Request(id, fd, SECCOMP_ADDFD_FLAG_SEND));
}
Result<void> SeccompSyncWakeUp(const UniqueFd& listener) {
  if (ioctl(listener.get(), uapi::kSeccompNotifSetFlags, uapi::kSeccompNotifSyncWakeUp) != 0) {
    return ErrnoError("ioctl(SECCOMP_IOCTL_NOTIF_SET_FLAGS)");
  }
  return {};
}

}  // namespace cellrun::sys
