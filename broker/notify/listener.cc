// SPDX-License-Identifier: Apache-2.0
#include "broker/notify/listener.h"

#include <utility>

#include "lib/base/log.h"
#include "lib/sys/seccomp.h"
#include "lib/sys/thread.h"

namespace cellrun::notify {
namespace {

// ENOENT: killed, or interrupted by a signal; in both cases there is nobody to answer. Anything
// else leaves a caller waiting, which is safe (nothing runs) but must be seen.
void Settle(const Result<void>& reply) {
  if (reply.ok() || reply.error().code() == ENOENT) return;
  log::Fail("answering a notification failed", {{"error", reply.error().ToString()}});
}

}  // namespace

Result<Listener> Listener::Adopt(UniqueFd fd) {
  // No notification has the id 0: ENOENT is the answer of a listener, ENOTTY that of anything else.
  CHECK(fd.valid());
  if (sys::SeccompIdValid(fd, 0) || errno != ENOENT) {
    return Error(ENOTTY, "ioctl(SECCOMP_IOCTL_NOTIF_ID_VALID)");
  }
  (void)sys::SeccompSyncWakeUp(fd);  // before 6.6 it is only slower
  return Listener(std::move(fd));
}

Result<std::optional<seccomp_notif>> Listener::Receive() const {
  return sys::SeccompReceive(fd_);
}
void Listener::Refuse(std::uint64_t id, int code) const {
  Settle(sys::SeccompReplyError(fd_, id, code));
}
void Listener::Return(std::uint64_t id, std::int64_t value) const {
  Settle(sys::SeccompReplyValue(fd_, id, value));
}
bool Listener::Ended() const {
  const Result<bool> hung_up = sys::HungUp(fd_.get());
  return !hung_up.ok() || hung_up.value();
}

}  // namespace cellrun::notify
